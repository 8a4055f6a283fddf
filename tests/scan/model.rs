//! Finding and redacting as the documents say it, slowly: on the words of a text, and on what is between their `_`.
//!
//! `fuzz` holds the library against it, too.

use core::mem;

use sha2::{Digest, Sha256};

/// Splits into runs of what a token is made of, and of everything else.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.chunk_by(|left, right| is_word(*left) == is_word(*right))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A token stands alone, so it is a whole word.
pub(crate) fn find(issuers: &[&str], text: &[u8]) -> Vec<(usize, usize, String, bool)> {
    let (mut found, mut start) = (Vec::new(), 0);
    for word in words(text) {
        let end = start + word.len();
        for issuer in issuers {
            let Ok(word) = core::str::from_utf8(word) else { continue };
            let Some(rest) = word.strip_prefix(issuer) else { continue };
            let parts: Vec<_> = rest.split('_').collect();
            let ["p1" | "t1", id, secret, checksum] = parts[..] else { continue };
            let is_hex = checksum.chars().all(|symbol| "0123456789abcdef".contains(symbol));
            if (id.len(), secret.len(), checksum.len(), is_hex) == (16, 32, 8, true) {
                let hash = Sha256::digest(&word[..word.len() - 9]);
                let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                let is_valid = digits == checksum;
                found.push((start, end, format!("{issuer}{}_{id}", parts[0]), is_valid));
            }
        }
        start = end;
    }
    found
}

/// In each word, the part behind an id is hidden that is behind the end of a head.
pub(crate) fn redact(issuers: &[&str], text: &[u8]) -> Vec<u8> {
    let mut redacted = Vec::new();
    for word in words(text) {
        match core::str::from_utf8(word) {
            Ok(word) if is_word(word.as_bytes()[0]) => redacted.extend(redact_word(issuers, word).into_bytes()),
            _ => redacted.extend_from_slice(word),
        }
    }
    redacted
}

fn redact_word(issuers: &[&str], word: &str) -> String {
    let parts: Vec<&str> = word.split('_').collect();
    let is_head = |part: &str| {
        let mut symbols = part.chars().rev();
        let (version, kind) = (symbols.next(), symbols.next());
        let before = &part[..part.len().saturating_sub(2)];
        version.is_some_and(|version| version.is_ascii_digit() || version.is_ascii_lowercase())
            && matches!(kind, Some('p' | 't'))
            && issuers.iter().any(|issuer| before.ends_with(issuer))
    };
    let is_secret = |place: usize| place >= 2 && parts[place - 1].len() == 16 && is_head(parts[place - 2]);
    // What is hidden is a `*`, of which no word has one.
    let mut marked = String::new();
    for (place, part) in parts.iter().enumerate() {
        let is_checksum = place > 0 && is_secret(place - 1) && parts[place - 1].len() == 32;
        if place > 0 {
            marked.push(if is_checksum { '*' } else { '_' });
        }
        let hidden = if is_secret(place) {
            32
        } else if is_checksum {
            8
        } else {
            0
        }
        .min(part.len());
        marked.push_str(&"*".repeat(hidden));
        marked.push_str(&part[hidden..]);
    }
    let mut redacted = String::new();
    let mut was_hidden = false;
    for symbol in marked.chars() {
        match (symbol, mem::replace(&mut was_hidden, symbol == '*')) {
            ('*', true) => {}
            ('*', false) => redacted.push_str("[redacted]"),
            (symbol, _) => redacted.push(symbol),
        }
    }
    redacted
}
