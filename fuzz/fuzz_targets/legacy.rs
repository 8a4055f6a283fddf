//! Every text is read, or refused, as the formats of legacy keys say.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::legacy(input);
});
