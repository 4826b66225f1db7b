//! Bytes of the fuzzer's choice, for `http2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::http2::ask(input));
