#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| subrosa_fuzz::ticket::check(input));
