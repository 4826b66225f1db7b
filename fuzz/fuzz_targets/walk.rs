//! Bytes of the fuzzer's choice, for `walk`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slowburn_fuzz::walk::ask(input));
