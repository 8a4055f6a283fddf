//! Every decision is the one of the table in the design.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::decide(input);
});
