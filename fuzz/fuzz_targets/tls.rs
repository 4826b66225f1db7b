//! Bytes of the fuzzer's choice, for `tls`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::tls::ask(input));
