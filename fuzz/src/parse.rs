//! Tokens, read a second time.

use keygate::{Issuer, store::SecretDigest, verify::UnverifiedToken};
use sha2::{Digest, Sha256};

/// Reads a token: the input is an issuer, a line feed, and the text to read.
///
/// The text is read as it is, and once more with the right checksum, which a fuzzer does not find by itself.
///
/// # Panics
///
/// If the library reads it in another way than the grammar says.
pub fn parse(input: &[u8]) -> &'static str {
    let input = String::from_utf8_lossy(input);
    let (issuer, text) = input.split_once('\n').unwrap_or((&input, ""));
    let parsed: Result<Issuer, _> = issuer.parse();
    assert_eq!(parsed.is_ok(), is_issuer(issuer), "{issuer:?}");
    let Ok(parsed) = parsed else { return "invalid_issuer" };
    if let Some((body, _)) = text.rsplit_once('_') {
        compare(parsed, &format!("{body}_{}", &hash(body)[..8]));
    }
    compare(parsed, text)
}

fn compare(issuer: Issuer, text: &str) -> &'static str {
    match (UnverifiedToken::parse(issuer, text), read(issuer.as_str(), text)) {
        (Ok(token), Ok(expected)) => {
            assert_eq!(token.kind().symbol(), expected.kind);
            assert_eq!(token.id().as_str(), expected.id);
            assert_eq!(token.public().to_string(), text[..issuer.as_str().len() + 19]);
            assert_eq!(token.digest().to_string(), expected.stored);
            assert_eq!(expected.stored.parse(), Ok::<SecretDigest, _>(token.digest()));
            assert_eq!(text.len(), issuer.as_str().len() + keygate::Token::LENGTH_AFTER_ISSUER);
            "ok"
        }
        (Err(error), Err(expected)) => {
            assert_eq!(error.as_str(), expected, "{text:?}");
            expected
        }
        (result, expected) => panic!("{text:?} is {result:?} and not {expected:?}"),
    }
}

#[derive(Debug)]
struct Read {
    kind: String,
    id: String,
    stored: String,
}

/// The rules of parsing in their order, on symbols and on what is between the separators.
fn read(issuer: &str, text: &str) -> Result<Read, &'static str> {
    let rest = text.strip_prefix(issuer).ok_or("foreign_issuer")?;
    let head: Vec<char> = rest.chars().take(3).collect();
    let [kind @ ('p' | 't'), version, '_'] = head[..] else { return Err("foreign_issuer") };
    if !(version.is_ascii_digit() || version.is_ascii_lowercase()) {
        return Err("foreign_issuer");
    }
    if version != '1' {
        return Err("unsupported_version");
    }
    let parts: Vec<&str> = rest[3..].split('_').collect();
    let [id, secret, checksum] = parts[..] else { return Err("malformed") };
    let is_word = |part: &str, length| part.len() == length && part.chars().all(|one| one.is_ascii_alphanumeric());
    let is_hex = checksum.len() == 8 && checksum.chars().all(|one| "0123456789abcdef".contains(one));
    if !is_word(id, 16) || !is_word(secret, 32) || !is_hex {
        return Err("malformed");
    }
    let hash = hash(&format!("{issuer}{kind}{version}_{id}_{secret}"));
    if hash[..8] != *checksum {
        return Err("checksum_mismatch");
    }
    Ok(Read { kind: kind.into(), id: id.into(), stored: format!("v1${}", &hash[8..]) })
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_issuer(text: &str) -> bool {
    let mut symbols = text.chars();
    (2..=10).contains(&text.chars().count())
        && symbols.next().is_some_and(|first| first.is_ascii_lowercase())
        && symbols.all(|one| one.is_ascii_lowercase() || one.is_ascii_digit())
        && !RESERVED.split(' ').any(|reserved| reserved == text)
}

const RESERVED: &str = "sk pk rk gh ghp gho ghu ghs ghr github glpat npm hf hvs hvb xoxb xoxp akia asia sntrys dop gsk \
    xai pplx r8 tskey pypi shpat whsec api key token secret bearer";
