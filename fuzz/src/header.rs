//! Header fields, read a second time.

use core::iter::repeat_n;

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::{
    Issuer,
    http::{CredentialSources, extract_credential},
    stages::AcceptedKeys,
};

/// Reads the credential of a request: the first byte is `x` where `X-Api-Key` counts, and then each line is a field.
///
/// A line begins with `a` for `Authorization`, `x` for `X-Api-Key`, `k` for `Api-Key`, `p` for `Proxy-Authorization`,
/// or anything else for a field in which nothing is looked for; the value follows. No value can hold a NUL, so a NUL
/// stands for 2,048 times `a`: long values need few bytes. So do three other bytes that no value can hold, for tokens:
/// 1 for one of the issuer, 2 for another one of a later version and with a wrong checksum, and 3 for one of another
/// issuer.
///
/// # Panics
///
/// If the library finds another credential than the grammar gives.
pub fn header(input: &[u8]) -> &'static str {
    let (counts, lines) = input.split_first().unwrap_or((&b'-', &[]));
    let x_api_key = *counts == b'x';
    let mut headers = HeaderMap::new();
    let mut fields = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let name = match line[0] {
            b'a' => "Authorization",
            b'k' => "API-Key",
            b'p' => "Proxy-Authorization",
            b'x' => "X-API-Key",
            _ => "cookie",
        };
        let mut value = Vec::new();
        for byte in &line[1..] {
            match *byte {
                0 => value.extend(repeat_n(b'a', LONG)),
                1 => value.extend(OURS),
                2 => value.extend(LATER),
                3 => value.extend(OTHER),
                other => value.push(other),
            }
        }
        let Ok(legal) = HeaderValue::from_bytes(&value) else { return "no_header" };
        headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a legal name"), legal);
        fields.push((name, value));
    }
    let expected = credential(&fields, x_api_key);
    let sources = CredentialSources::authorization();
    let sources = if x_api_key { sources.with_x_api_key() } else { sources };
    let keys = AcceptedKeys::new(ISSUER);
    let found = extract_credential(&headers, &sources, keys).map(str::as_bytes).map_err(|error| error.as_str());
    assert_eq!(found, expected);
    expected.err().unwrap_or("ok")
}

/// The steps of the page, one after the other.
fn credential<'f>(fields: &'f [(&str, Vec<u8>)], x_api_key: bool) -> Result<&'f [u8], &'static str> {
    let lines_of =
        |name: &str| fields.iter().filter(|(other, _)| *other == name).map(|(_, value)| &value[..]).collect();
    // 1. Which fields count.
    let authorizations: Vec<&[u8]> = lines_of("Authorization");
    let x_api_keys: Vec<&[u8]> = if x_api_key { lines_of("X-API-Key") } else { Vec::new() };
    // 2. How many lines.
    if authorizations.len() > 1 || x_api_keys.len() > 1 {
        return Err("multiple");
    }
    // 3. and 4. What they hold.
    let first = authorizations.first().map_or(Err("missing"), |value| authorization(value));
    let second = x_api_keys.first().map_or(Err("missing"), |value| token68(value, value.len()));
    match (first, second) {
        (Err("missing"), Err("missing")) => {}
        (Err("missing"), one) | (one, Err("missing")) => return one,
        (Err(_), _) | (_, Err(_)) => return Err("malformed"),
        (Ok(one), Ok(other)) => return if one == other { Ok(one) } else { Err("multiple") },
    }
    // 5. Whether a token stands where it does not count.
    let places = ["Authorization", "X-API-Key", "API-Key", "Proxy-Authorization"];
    let is_misplaced = fields.iter().any(|(name, value)| places.contains(name) && holds_token(value));
    Err(if is_misplaced { "misplaced" } else { "missing" })
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

/// Goes through the grammar of a token from each place of the text.
fn holds_token(text: &[u8]) -> bool {
    let is_one = |byte: &u8, kind: char| match kind {
        'v' => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
        'x' => byte.is_ascii_alphanumeric(),
        'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        'k' => matches!(byte, b'p' | b't'),
        _ => *byte == b'_',
    };
    let grammar = format!("kv_{}_{}_{}", "x".repeat(16), "x".repeat(32), "h".repeat(8));
    (0..text.len()).any(|start| {
        text[start..].strip_prefix(ISSUER.as_str().as_bytes()).is_some_and(|rest| {
            rest.len() >= grammar.len() && rest.iter().zip(grammar.chars()).all(|(byte, kind)| is_one(byte, kind))
        })
    })
}

const ISSUER: Issuer = Issuer::from_static("kg");
const LONG: usize = 2048;
const OURS: &[u8] = b"kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const LATER: &[u8] = b"kgpz_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_00000000";
const OTHER: &[u8] = b"acmet1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
