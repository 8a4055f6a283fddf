//! The credential that is found is the one that the grammar gives.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::header(input);
});
