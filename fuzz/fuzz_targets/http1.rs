//! Bytes of the fuzzer's choice, for `http1`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::http1::ask(input));
