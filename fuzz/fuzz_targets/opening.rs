//! Bytes of the fuzzer's choice, for `opening`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::opening::ask(input));
