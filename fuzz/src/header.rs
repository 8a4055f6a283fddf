//! Header fields, read a second time.

use core::iter::repeat_n;

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::http::{CredentialHeaders, extract_credential};

/// Reads the credential of a request: the first byte is `x` where `X-Api-Key` counts, and then each line is a field.
///
/// A line begins with `a` for `Authorization`, `x` for `X-Api-Key`, or anything else for a field that never counts; the
/// value follows. No value can hold a NUL, so a NUL stands for 2,048 times `a`: long values need few bytes.
///
/// # Panics
///
/// If the library finds another credential than the grammar gives.
pub fn header(input: &[u8]) -> &'static str {
    let (counts, lines) = input.split_first().unwrap_or((&b'-', &[]));
    let x_api_key = *counts == b'x';
    let mut headers = HeaderMap::new();
    let mut counting = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let name = match line[0] {
            b'a' => "Authorization",
            b'x' => "X-API-Key",
            _ => "cookie",
        };
        let mut value = Vec::new();
        for byte in &line[1..] {
            let (symbol, count) = if *byte == 0 { (b'a', LONG) } else { (*byte, 1) };
            value.extend(repeat_n(symbol, count));
        }
        let Ok(legal) = HeaderValue::from_bytes(&value) else { return "no_header" };
        headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a legal name"), legal);
        if name == "Authorization" || (name == "X-API-Key" && x_api_key) {
            counting.push((name, value));
        }
    }
    let expected = match &counting[..] {
        [] => Err("missing"),
        [("Authorization", value)] => authorization(value),
        [(_, value)] => token68(value, value.len()),
        _ => Err("multiple"),
    };
    let fields = if x_api_key { CredentialHeaders::AuthorizationOrXApiKey } else { CredentialHeaders::Authorization };
    let found = extract_credential(&headers, fields).map(str::as_bytes).map_err(|error| error.as_str());
    assert_eq!(found, expected);
    expected.err().unwrap_or("ok")
}

/// What is before the first space is the scheme, what is behind the spaces the token68.
fn authorization(value: &[u8]) -> Result<&[u8], &'static str> {
    let mut words = value.splitn(2, |byte| *byte == b' ');
    let scheme = words.next().unwrap_or_default();
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if scheme.is_empty() || !scheme.iter().all(is_tchar) {
        return Err("malformed");
    }
    if !["bearer", "api-key"].map(str::as_bytes).contains(&&*scheme.to_ascii_lowercase()) {
        return Err("missing");
    }
    let mut rest = words.next().ok_or("malformed")?;
    while let Some(shorter) = rest.strip_prefix(b" ") {
        rest = shorter;
    }
    token68(rest, value.len())
}

/// Symbols and then signs of equality, in a field of at most 8,192 bytes.
fn token68(text: &[u8], length_of_field: usize) -> Result<&[u8], &'static str> {
    let symbols = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    let is_padding = text[symbols.len()..].iter().all(|byte| *byte == b'=');
    let is_legal = !symbols.is_empty() && symbols.iter().all(is_symbol) && is_padding && length_of_field <= 8192;
    if is_legal { Ok(text) } else { Err("malformed") }
}

const LONG: usize = 2048;
