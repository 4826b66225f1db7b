//! Bytes of the fuzzer's choice, for `hpack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::hpack::ask(input));
