//! Text without its secrets.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::{iter, ops::Range};

use super::{Scanner, shape::Shapes};

impl Scanner {
    /// Returns the text without secrets: the public part of each token stays, `kgt1_wk59pfKL0jFi2YYv_[redacted]`.
    ///
    /// If there is nothing to hide, the text comes back as it is, and nothing is allocated.
    ///
    /// # Security
    ///
    /// Every secret that follows issuer, kind, version and id is hidden, with any text beside it: with a wrong checksum
    /// or none, with a version that this release does not know, glued to other symbols before or after, and as much of
    /// it as there is if it is cut off. The issuer is compared as it is written: `KGT1_...` is no token, and stays.
    ///
    /// So a word that is joined to a public part by a `_` goes too: join it by something else.
    ///
    /// ```
    /// # use keygate::{Issuer, scan::Scanner};
    /// # let scanner = Scanner::new(Issuer::from_static("kg"));
    /// assert_eq!(scanner.redact("mykgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrz..."), "mykgt1_wk59pfKL0jFi2YYv_[redacted]...");
    /// assert!(matches!(scanner.redact("kgt1_wk59pfKL0jFi2YYv did it"), std::borrow::Cow::Borrowed(_)));
    /// ```
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut hidden = self.hidden(text.as_bytes()).peekable();
        if hidden.peek().is_none() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text_of(pieces(hidden, text.len()), text))
    }

    /// Like [`Scanner::redact`], for text that may not be UTF-8.
    #[must_use]
    pub fn redact_bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut hidden = self.hidden(text).peekable();
        if hidden.peek().is_none() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(bytes_of(pieces(hidden, text.len()), text))
    }

    /// Returns the parts that must not be seen, in their order.
    pub(super) fn hidden(&self, text: &[u8]) -> impl Iterator<Item = Range<usize>> {
        // INVARIANT: no two overlap or touch. What is hidden of a shape has one `_` at most, after 32 symbols; before
        // the secret of another shape, there are 16 between two.
        Shapes::new(self, text).map(|shape| shape.hidden(text)).filter(|hidden| !hidden.is_empty())
    }
}

/// A piece of a text that stays, and what follows it.
pub(super) type Piece = (Range<usize>, &'static str);

pub(super) fn pieces(hidden: impl Iterator<Item = Range<usize>>, length: usize) -> impl Iterator<Item = Piece> {
    let mut from = 0;
    hidden.map(Some).chain(iter::once(None)).map(move |hidden| match hidden {
        Some(Range { start, end }) => (core::mem::replace(&mut from, end)..start, MARK),
        None => (from..length, ""),
    })
}

/// Returns what is seen of a text.
pub(super) fn text_of(pieces: impl Iterator<Item = Piece>, text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for (visible, mark) in pieces {
        // INVARIANT: what is hidden is ASCII, so the text is cut between characters.
        redacted.push_str(text.get(visible).unwrap_or_default());
        redacted.push_str(mark);
    }
    redacted
}

/// Like [`text_of`], for text that may not be UTF-8.
pub(super) fn bytes_of(pieces: impl Iterator<Item = Piece>, text: &[u8]) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(text.len());
    for (visible, mark) in pieces {
        redacted.extend_from_slice(text.get(visible).unwrap_or_default());
        redacted.extend_from_slice(mark.as_bytes());
    }
    redacted
}

/// The text in the place of a secret.
const MARK: &str = "[redacted]";
