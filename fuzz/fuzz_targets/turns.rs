//! Bytes of the fuzzer's choice, for `turns`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::turns::ask(input));
