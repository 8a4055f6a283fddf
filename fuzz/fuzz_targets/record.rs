//! What is read as a record is written as it was read.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::record(input);
});
