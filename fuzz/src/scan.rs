//! Text that holds tokens, searched a second time.

#[path = "../../tests/it/scan/model.rs"]
mod model;

use std::io::Write as _;

use keygate::{Issuer, scan::Scanner};

use crate::parse::hash;

/// Finds and redacts: the input is a line of issuers with spaces between them, a line of which each byte is the size of
/// a piece in which the text is written, and the text.
///
/// In the text, a NUL stands for a whole token of the first issuer, and a byte 1 for one without its checksum, which a
/// fuzzer does not find by itself.
///
/// # Panics
///
/// If the library finds or redacts in another way than the model, if pieces make a difference, or if a whole secret is
/// left.
pub fn scan(input: &[u8]) -> &'static str {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let [issuers, sizes, text] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let issuers: Vec<&str> = core::str::from_utf8(issuers).unwrap_or_default().split(' ').take(MOST).collect();
    let Ok(parsed) = issuers.iter().map(|issuer| issuer.parse()).collect::<Result<Vec<Issuer>, _>>() else {
        return "invalid_issuer";
    };
    let scanner = parsed[1..].iter().fold(Scanner::new(parsed[0]), |scanner, issuer| scanner.with_issuer(*issuer));
    let is_planted = !contains(text, SECRET.as_bytes());
    let text = planted(issuers[0], text);

    let mut once: Vec<&str> = issuers;
    once.sort_unstable();
    once.dedup();
    let found = scanner.find(&text).map(|found| {
        assert_eq!(found.expose_secret().as_bytes(), &text[found.range()]);
        (found.range().start, found.range().end, found.public().to_string())
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found, model::find(&once, &text));

    let redacted = scanner.redact_bytes(&text);
    assert_eq!(*redacted, *model::redact(&once, &text));
    assert_eq!(*in_pieces(&scanner, sizes, &text), *redacted);
    if let Ok(text) = core::str::from_utf8(&text) {
        assert_eq!(scanner.redact(text).as_bytes(), &*redacted);
    }
    assert!(!(is_planted && contains(&redacted, SECRET.as_bytes())), "a whole secret is left");
    assert_eq!(scanner.find(&*redacted).count(), 0, "a token is left");
    match found.is_empty() {
        false => "found",
        true if redacted == text => "unchanged",
        true => "redacted",
    }
}

fn planted(issuer: &str, text: &[u8]) -> Vec<u8> {
    let body = format!("{issuer}t1_wk59pfKL0jFi2YYv_{SECRET}");
    let token = format!("{body}_{}", &hash(&body)[..8]);
    let mut planted = Vec::new();
    for byte in text {
        match byte {
            0 => planted.extend_from_slice(token.as_bytes()),
            1 => planted.extend_from_slice(body.as_bytes()),
            byte => planted.push(*byte),
        }
    }
    planted
}

/// Writes pieces of these sizes, over and over.
fn in_pieces(scanner: &Scanner, sizes: &[u8], text: &[u8]) -> Vec<u8> {
    let mut writer = scanner.writer(Vec::new());
    let (mut rest, mut sizes) = (text, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size).clamp(1, rest.len()));
        let (piece, after) = rest.split_at(size);
        writer.write_all(piece).expect("memory takes everything");
        rest = after;
    }
    writer.into_inner()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const SECRET: &str = "LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1";
/// As many issuers as are looked for.
const MOST: usize = 4;
