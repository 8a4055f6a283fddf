//! Tokens are found as the grammar says, and no secret is left by redaction, however the text is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    keygate_fuzz::scan(input);
});
