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

/// What has the form of a token, at each place of the text: where it begins, what it is, and what is shown of it.
pub(crate) fn near<'a>(issuers: &'a [&str], text: &'a [u8]) -> impl Iterator<Item = (usize, &'a str, String)> {
    let issuer_at = move |start: usize| issuers.iter().map(move |issuer| (start, *issuer));
    (0..text.len()).flat_map(issuer_at).filter_map(|(start, issuer)| {
        let token = text.get(start..start + issuer.len() + 61)?;
        let token = core::str::from_utf8(token).ok()?;
        let parts: Vec<_> = token.strip_prefix(issuer)?.split('_').collect();
        let [kind @ ("p1" | "t1"), id, secret, checksum] = parts[..] else { return None };
        let is_alphanumeric = |text: &str| text.chars().all(|symbol| symbol.is_ascii_alphanumeric());
        let is_hex = checksum.chars().all(|symbol| "0123456789abcdef".contains(symbol));
        let fits = (id.len(), secret.len(), checksum.len()) == (16, 32, 8);
        (fits && is_alphanumeric(id) && is_alphanumeric(secret) && is_hex)
            .then(|| (start, token, format!("{issuer}{kind}_{id}")))
    })
}

/// The leftmost one whose checksum fits, and so on behind its end.
pub(crate) fn find(issuers: &[&str], text: &[u8]) -> Vec<(usize, usize, String)> {
    let (mut found, mut from) = (Vec::new(), 0);
    for (start, token, public) in near(issuers, text) {
        let hash = Sha256::digest(&token[..token.len() - 9]);
        let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        if start >= from && token.ends_with(&digits) {
            from = start + token.len();
            found.push((start, from, public));
        }
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
