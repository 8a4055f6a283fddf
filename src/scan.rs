//! Tokens in other people's text: found in leaked files, and kept out of logs.
//!
//! Finding and redacting answer different questions, so they take different texts for tokens:
//!
//! | | finds | for |
//! |---|---|---|
//! | [`Scanner::find`] | whole tokens of version 1 whose checksum holds | leak reports, where each find ends a key ([`KeyManager::revoke_leaked`](crate::KeyManager::revoke_leaked)) |
//! | [`Scanner::redact`], [`RedactingWriter`] | any text that may hold a secret: cut off, mistyped, of another version | logs, where leaking a secret is worse than over-redacting |
//!
//! Neither looks at the text beside a token: the letter of an escape, as in `\nkgt1_...`, a colour of a terminal, or
//! another token. Text need not be UTF-8 to be searched.
//!
//! Both take time in proportion to the text, whatever it is. There is one search for all issuers; each place that looks
//! like a token is then compared with each of them.
//!
//! Encoded tokens are not found: in Base64 or UTF-16, wrapped over two lines, or with a `_` that is written as `%5F`.
//! Redact before text is encoded. The page [`docs::leaks`](crate::docs::leaks) is about leaks as a whole, and has the
//! full list.

mod pattern;
mod redact;
mod shape;
mod writer;

use alloc::vec::Vec;
use core::{fmt, iter, ops::Range};

use self::shape::{Shape, Shapes};
pub use self::{pattern::Pattern, writer::RedactingWriter};
use crate::{
    id::{KeyId, KeyKind},
    name::Issuer,
    token::{DisplayToken, Token, UnverifiedToken},
};

/// Looks for the tokens of one or several issuers.
///
/// ```
/// use keygate::{Issuer, scan::Scanner};
///
/// const KG: Scanner = Scanner::new(Issuer::from_static("kg"));
/// let log = "GET /v1/models key=kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61 200";
///
/// let found: Vec<_> = KG.find(log).collect();
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].range(), 19..82);
/// assert_eq!(found[0].public().to_string(), "kgt1_wk59pfKL0jFi2YYv");
///
/// assert_eq!(KG.redact(log), "GET /v1/models key=kgt1_wk59pfKL0jFi2YYv_[redacted] 200");
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    first: Issuer,
    others: Vec<Issuer>,
}

impl Scanner {
    /// Looks for the tokens of one issuer.
    #[must_use]
    pub const fn new(issuer: Issuer) -> Self {
        Self { first: issuer, others: Vec::new() }
    }

    /// Looks for the tokens of another issuer as well: an earlier prefix of the service, or another service.
    ///
    /// ```
    /// use keygate::{Issuer, scan::Scanner};
    ///
    /// let both = Scanner::new(Issuer::from_static("kg")).with_issuer(Issuer::from_static("acme"));
    /// let text = "acmep1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1";
    /// assert_eq!(both.redact(text), "acmep1_wk59pfKL0jFi2YYv_[redacted]");
    /// ```
    #[must_use]
    pub fn with_issuer(mut self, issuer: Issuer) -> Self {
        self.others.push(issuer);
        self
    }

    /// Finds whole tokens whose checksum holds, in text or bytes, in their order.
    ///
    /// The leftmost comes first, and the search goes on after its end. The text beside a token does not matter. It
    /// allocates nothing, and hashes only texts in the form of a token.
    ///
    /// ```
    /// # use keygate::{Issuer, scan::Scanner};
    /// # let scanner = Scanner::new(Issuer::from_static("kg"));
    /// let file = b"\xff\xfe\\nkgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d\\n";
    /// let tokens: Vec<&str> = scanner.find(file).map(|found| found.expose_secret()).collect();
    /// assert_eq!(tokens.len(), 1);
    ///
    /// let mistyped = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM2_2845041d";
    /// assert_eq!(scanner.find(mistyped).count(), 0);
    /// ```
    pub fn find<'t, T: AsRef<[u8]> + ?Sized>(&self, text: &'t T) -> impl Iterator<Item = TokenMatch<'t>> {
        let text = text.as_ref();
        let mut from = 0;
        Shapes::new(self, text).filter_map(move |shape| {
            let found =
                self.issuers_of(text, shape.kind).find_map(|issuer| TokenMatch::at(&shape, issuer, text, from))?;
            from = found.range().end;
            Some(found)
        })
    }

    /// Puts redaction in front of a writer: its input comes through without secrets, however it is cut into pieces.
    #[must_use]
    pub fn writer<W>(&self, inner: W) -> RedactingWriter<W> {
        RedactingWriter::new(self.clone(), inner)
    }

    /// Returns the issuers that end before a kind: `kg` and `akg`, if both are looked for.
    fn issuers_of(&self, text: &[u8], kind: usize) -> impl Iterator<Item = Issuer> {
        let before = text.get(..kind).unwrap_or_default();
        iter::once(self.first).chain(self.others.iter().copied()).filter(|issuer| before.ends_with(issuer.as_bytes()))
    }
}

/// A whole token of version 1 in a text, whose checksum holds.
///
/// # Security
///
/// It borrows the text, and so the secret: `Debug` shows the public part only. Whether the token opens anything is not
/// known; [`KeyManager::revoke_leaked`](crate::KeyManager::revoke_leaked) finds out, and takes what
/// [`TokenMatch::expose_secret`] returns.
#[derive(Clone, Copy)]
pub struct TokenMatch<'t> {
    token: &'t str,
    start: usize,
    issuer: Issuer,
    kind: KeyKind,
    id: KeyId,
}

impl<'t> TokenMatch<'t> {
    /// Takes what has this shape for a token of this issuer, if it does not begin before a place and is one.
    fn at(shape: &Shape, issuer: Issuer, text: &'t [u8], from: usize) -> Option<Self> {
        let start = shape.kind.checked_sub(issuer.as_bytes().len()).filter(|start| *start >= from)?;
        let token = text.get(start..shape.kind.checked_add(Token::LENGTH_AFTER_ISSUER)?)?;
        let token = core::str::from_utf8(token).ok()?;
        let parsed = UnverifiedToken::parse(issuer, token).ok()?;
        Some(Self { token, start, issuer, kind: parsed.kind(), id: parsed.id() })
    }

    /// Returns the place of the token, in bytes.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.token.len())
    }

    /// Returns the part that lists and logs show.
    #[must_use]
    pub const fn public(&self) -> DisplayToken {
        DisplayToken::new(self.issuer, self.kind, self.id)
    }

    /// Returns the issuer, of those that were looked for.
    #[must_use]
    pub const fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// Returns the kind that the token claims.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the public id that the token claims.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns a reference to the whole token, secret included.
    ///
    /// # Security
    ///
    /// The one door out, for [`KeyManager::revoke_leaked`](crate::KeyManager::revoke_leaked). Tell others of a find by
    /// [`TokenMatch::public`].
    #[must_use]
    pub const fn expose_secret(&self) -> &'t str {
        self.token
    }
}

impl fmt::Debug for TokenMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMatch")
            .field("range", &self.range())
            .field("public", &format_args!("{}", self.public()))
            .finish_non_exhaustive()
    }
}
