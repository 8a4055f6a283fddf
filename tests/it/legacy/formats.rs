//! The formats of the vectors, and keys of them.

use core::fmt::Write as _;

use keygate::legacy::{LegacyFormat, LegacyHash, LegacyParts, StoredHash, Symbols};
use sha2::{Digest as _, Sha256, Sha384};

pub(crate) const PREFIX_256: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha256);
pub(crate) const PREFIX_512: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha512);
pub(crate) const OPAQUE: LegacyFormat = LegacyFormat::opaque("old_live_", Symbols::Alphanumeric, 24, 32);
pub(crate) const BASE64: LegacyFormat = LegacyFormat::opaque("old-", Symbols::Base64Url, 43, 43);
pub(crate) const HEX: LegacyFormat = LegacyFormat::opaque("", Symbols::Hex, 40, 40);
pub(crate) const NUMBERED: LegacyFormat = LegacyFormat::custom("numbered", numbered);

/// All of different shapes.
pub(crate) static ALL: [LegacyFormat; 5] = [PREFIX_512, OPAQUE, BASE64, HEX, NUMBERED];

/// A number, `~`, and 40 letters and digits, stored as SHA-384 of the whole beside the number.
fn numbered(text: &str) -> Option<LegacyParts<'_>> {
    let (number, secret) = text.split_once('~')?;
    let is_number = !number.starts_with('0') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_secret = secret.len() == 40 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_number || !is_secret {
        return None;
    }
    Some(LegacyParts { handle: Some(number), hash: StoredHash::from_bytes(&Sha384::digest(text)).ok()? })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A `prefix.secret` key that is always the same.
pub(crate) fn prefix_secret(number: u8) -> String {
    let text = hex(&Sha256::digest([number]));
    format!("{}.{}", &text[..8], &text[32..])
}
