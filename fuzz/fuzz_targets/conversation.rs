//! Bytes of the fuzzer's choice, for `conversation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::conversation::ask(input));
