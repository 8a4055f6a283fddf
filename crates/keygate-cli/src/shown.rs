//! The shown form of file names: no secret of any issuer, and nothing that moves the cursor, makes two lines of one or
//! shows another name than the file has.

use core::fmt::Write as _;
use std::{borrow::Cow, io};

use keygate::{Issuer, scan::Scanner};
use serde_json::ser::Formatter;

/// Hides the secrets in a name or a complaint: those of the issuers that are searched for, and of any that it seems to
/// name.
pub(crate) fn redact<'t>(scanner: &Scanner, text: &'t [u8]) -> Cow<'t, [u8]> {
    let heads = text.iter().enumerate().filter(|(_, byte)| **byte == b'_').filter_map(|(end, _)| text.get(..end));
    heads.filter_map(claimed).fold(scanner.clone(), Scanner::with_issuer).redact_bytes(text)
}

/// Returns an issuer that ends before a kind and a version: the shortest, which is at the end of every longer one.
fn claimed(head: &[u8]) -> Option<Issuer> {
    let before = head.get(..head.len().checked_sub(2)?)?;
    (1..=Issuer::MAX_LENGTH).find_map(|length| {
        let issuer = before.get(before.len().checked_sub(length)?..)?;
        core::str::from_utf8(issuer).ok()?.parse().ok()
    })
}

/// Escapes invisible characters, and bytes that are not UTF-8.
pub(crate) fn printable(text: &[u8]) -> String {
    // Without them, the most common characters of a name stay as they are.
    let is_quote = |symbol: char| matches!(symbol, '\\' | '"' | '\'');
    let mut printable = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(is_quote) {
            let plain = piece.trim_end_matches(is_quote);
            printable.extend(plain.escape_debug());
            printable.push_str(piece.get(plain.len()..).unwrap_or_default());
        }
        for byte in chunk.invalid() {
            // Writing to a text does not fail.
            let _ = write!(printable, "\\x{byte:02x}");
        }
    }
    printable
}

/// JSON in ASCII: invisible characters are escaped, and so is everything else that a terminal may misread.
pub(crate) struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        fragment.chars().try_for_each(|symbol| match symbol {
            ' '..='~' => write!(writer, "{symbol}"),
            other => other.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}")),
        })
    }
}
