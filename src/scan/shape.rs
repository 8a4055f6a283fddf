//! Finds every text in the shape of a token, wherever it stands: the one search that finding and redacting share.

use core::ops::Range;

use super::Scanner;
use crate::{
    encoding::is_alphanumeric,
    id::KeyId,
    name::Issuer,
    token::{CHECKSUM_LENGTH, SECOND, SECRET_LENGTH, Token, is_version, skeleton},
};

/// `issuer kind version "_" id "_"`, whatever stands before it.
pub(super) struct Shape {
    /// Where the kind stands. An issuer that is looked for ends before it.
    pub(super) kind: usize,
}

impl Shape {
    /// The longest text that can hold a secret: nothing that is further away decides about a byte.
    pub(super) const MAX_LENGTH: usize = Issuer::MAX_LENGTH.saturating_add(Token::LENGTH_AFTER_ISSUER);

    /// Returns what must not be seen: the symbols of the secret, as many as there are, and after a whole one the
    /// checksum. Whether a byte is in it depends on no byte after it, so that a stream can be redacted without waiting.
    pub(super) fn hidden(&self, text: &[u8]) -> Range<usize> {
        let secret = self.kind.saturating_add(SECRET);
        let rest = text.get(secret..).unwrap_or_default();
        let mut length = alphanumerics(rest, SECRET_LENGTH);
        if let (SECRET_LENGTH, Some([b'_', checksum @ ..])) = (length, rest.get(SECRET_LENGTH..)) {
            length = SECRET_LENGTH.saturating_add(1).saturating_add(alphanumerics(checksum, CHECKSUM_LENGTH));
        }
        secret..secret.saturating_add(length)
    }
}

fn alphanumerics(text: &[u8], max: usize) -> usize {
    text.iter().take(max).take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// All shapes of a text, in their order; one may begin in another's secret.
pub(super) struct Shapes<'s, 't> {
    scanner: &'s Scanner,
    text: &'t [u8],
    from: usize,
}

impl<'s, 't> Shapes<'s, 't> {
    pub(super) const fn new(scanner: &'s Scanner, text: &'t [u8]) -> Self {
        Self { scanner, text, from: 0 }
    }

    fn at(&self, kind: usize) -> Option<Shape> {
        // The kind and the separators are where they should be.
        let [_, version, _, rest @ ..] = self.text.get(kind..)? else { return None };
        let (id, _) = rest.split_first_chunk::<{ KeyId::LENGTH }>()?;
        if !is_version(*version) || !is_alphanumeric(id) {
            return None;
        }
        self.scanner.issuers_of(self.text, kind).next().map(|_| Shape { kind })
    }
}

impl Iterator for Shapes<'_, '_> {
    type Item = Shape;

    fn next(&mut self) -> Option<Shape> {
        while let Some(kind) = skeleton(self.text, self.from) {
            self.from = kind.saturating_add(1);
            if let Some(shape) = self.at(kind) {
                return Some(shape);
            }
        }
        self.from = self.text.len();
        None
    }
}

/// From the kind to the secret.
const SECRET: usize = SECOND.saturating_add(1);
