//! Every text is read, or refused, as the grammar of tokens says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::parse(input);
});
