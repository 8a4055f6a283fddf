//! Imported keys, read a second time.

use keygate::legacy::{InvalidLegacyKey, LegacyFormat, LegacyHash, StoredHash, Symbols};
use sha2::{Digest, Sha256, Sha512};

const PREFIX_SECRET: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha512);
const OPAQUE: LegacyFormat = LegacyFormat::opaque("old_", Symbols::Base64Url, 19, 30);
const HEX: LegacyFormat = LegacyFormat::opaque("", Symbols::Hex, 28, 40);

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Reads the input as a key of each format, and as a hash that an old system stored.
///
/// # Panics
///
/// If the library reads it in another way than the documents say.
pub fn legacy(input: &[u8]) -> &'static str {
    let text = &*String::from_utf8_lossy(input);
    let all = |text: &str, symbols: &str| text.chars().all(|one| symbols.contains(one));
    let prefix = match text.split('.').collect::<Vec<_>>()[..] {
        [prefix, secret] if prefix.len() == 8 && secret.len() == 32 => Some((prefix, secret)),
        _ => None,
    };
    let prefix = prefix.filter(|(prefix, secret)| all(prefix, ALPHANUMERIC) && all(secret, ALPHANUMERIC));
    let is_opaque = text
        .strip_prefix("old_")
        .is_some_and(|rest| (19..=30).contains(&rest.len()) && all(rest, &format!("{ALPHANUMERIC}-_")));
    let is_hex = (28..=40).contains(&text.len()) && all(text, "0123456789abcdef");

    let sha256 = Sha256::digest(text).to_vec();
    let mut outcome = "refused";
    if let Some((prefix, _)) = prefix {
        compare(PREFIX_SECRET, text, "prefix.secret", Some(prefix), prefix.as_bytes(), &Sha512::digest(text));
        outcome = "prefix_secret";
    } else {
        assert_eq!(PREFIX_SECRET.parse(text).unwrap_err(), InvalidLegacyKey::Text);
    }
    for (format, is_one) in [(OPAQUE, is_opaque), (HEX, is_hex)] {
        if is_one {
            compare(format, text, "opaque", None, &sha256, &sha256);
            outcome = "opaque";
        } else {
            assert_eq!(format.parse(text).unwrap_err(), InvalidLegacyKey::Text);
        }
    }

    let is_digits = |text: &str, bytes: &[usize]| bytes.contains(&text.len()) && all(text, "0123456789abcdef");
    let lengths: Vec<_> = (16..=64).map(|bytes| 2 * bytes).collect();
    let is_hash = match text.get(..8) {
        Some("sha256$$") => is_digits(&text[8..], &[64]),
        Some("sha512$$") => is_digits(&text[8..], &[128]),
        _ => is_digits(text, &lengths),
    };
    assert_eq!(text.parse::<StoredHash>().is_ok(), is_hash, "{text:?}");
    if is_hash && outcome == "refused" { "stored_hash" } else { outcome }
}

/// Id and digests, of the text and of the row.
fn compare(format: LegacyFormat, text: &str, kind: &str, row: Option<&str>, handle: &[u8], stored: &[u8]) {
    let presented = format.parse(text).unwrap();
    let legacy_key = format.stored(row, StoredHash::from_bytes(stored).unwrap()).unwrap();
    let id = (0..=255)
        .flat_map(|counter| {
            let hash = derive("id-v1", kind, &[&[counter], handle]);
            [base64(&hash[..12]), base64(&hash[12..24])]
        })
        .find(|id| id.chars().all(|one| ALPHANUMERIC.contains(one)))
        .unwrap();
    assert_eq!(presented.id().as_str(), id);
    assert_eq!(legacy_key.id().as_str(), id);
    let digest = |algorithm: &str, parts: &[&[u8]]| {
        let digits: String = derive(algorithm, kind, parts)[..28].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{algorithm}${digits}")
    };
    assert_eq!(presented.legacy_key().digest().to_string(), digest("legacy-v1", &[text.as_bytes()]));
    let algorithm = if row.is_some() { "sha512-v1" } else { "sha256-v1" };
    assert_eq!(legacy_key.digest().to_string(), digest(algorithm, &[handle, stored]));
}

fn derive(purpose: &str, kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let head = ["keygate legacy key", purpose, kind, ""].map(str::as_bytes);
    let mut framed = Vec::new();
    for part in head.iter().chain(parts) {
        framed.extend([u8::try_from(part.len() / 256).unwrap(), u8::try_from(part.len() % 256).unwrap()]);
        framed.extend(*part);
    }
    Sha256::digest(framed).to_vec()
}

/// Twelve bytes as one number, in base 64.
fn base64(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let symbols: Vec<_> = format!("{ALPHANUMERIC}-_").chars().collect();
    (0..16).rev().map(|place| symbols[usize::try_from(number >> (6 * place) & 63).unwrap()]).collect()
}
