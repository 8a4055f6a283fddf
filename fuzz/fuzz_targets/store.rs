//! Whatever happens to keys in whatever order, the store says what the model says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::store(input);
});
