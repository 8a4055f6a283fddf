//! Names that people choose: of the issuing service, of a key, of an environment.

use core::str::FromStr;

use crate::text::{Grammar, InvalidText, SymbolTest, TextRule, text_conversions, text_type};

/// The prefix that distinguishes a service's tokens from all others: `[a-z][a-z0-9]{1,9}`, chosen once.
///
/// Prefixes that people and scanners take for another system's keys are refused ([`Issuer::RESERVED`]).
///
/// ```
/// use keygate::{Issuer, TextRule};
///
/// const ACME: Issuer = Issuer::from_static("acme");
/// assert_eq!(ACME.as_str(), "acme");
/// assert_eq!("sk".parse::<Issuer>().unwrap_err().rule(), TextRule::Reserved);
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Issuer {
    // INVARIANT: `text[..length]` fits the grammar, the rest is zero.
    text: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl Issuer {
    /// The largest number of symbols.
    pub const MAX_LENGTH: usize = 10;

    /// Texts that fit the grammar but are refused, since scanners and people take them for other systems' keys.
    pub const RESERVED: &'static [&'static str] = &[
        "sk", "pk", "rk", "gh", "ghp", "gho", "ghu", "ghs", "ghr", "github", "glpat", "npm", "hf", "hvs", "hvb",
        "xoxb", "xoxp", "akia", "asia", "sntrys", "dop", "gsk", "xai", "pplx", "r8", "tskey", "pypi", "shpat", "whsec",
        "api", "key", "token", "secret", "bearer",
    ];

    const GRAMMAR: &'static Grammar = &Grammar {
        what: "an issuer",
        min: 2,
        max: Self::MAX_LENGTH,
        symbols: "lower-case letters and digits",
        is_symbol: SymbolTest::LowercaseDigit,
        edges: "starts with a letter",
        is_first: SymbolTest::Lowercase,
        is_last: SymbolTest::LowercaseDigit,
    };

    /// Makes an issuer of a literal; used in a `const`, a bad one does not compile.
    ///
    /// ```compile_fail
    /// const NOT_AN_ISSUER: keygate::Issuer = keygate::Issuer::from_static("sk");
    /// ```
    ///
    /// # Panics
    ///
    /// If the text is not a legal issuer.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        match Self::new(text) {
            Ok(issuer) => issuer,
            #[expect(clippy::panic, reason = "meant for literals, where it is an error of compilation")]
            Err(error) => match error.rule() {
                TextRule::Edge => panic!("an issuer starts with a letter"),
                TextRule::Length => panic!("an issuer has 2 to 10 symbols"),
                TextRule::Reserved => panic!("an issuer must not be one that others use"),
                TextRule::Symbol => panic!("an issuer has only lower-case letters and digits"),
            },
        }
    }

    const fn new(text: &str) -> Result<Self, InvalidText> {
        if let Err(error) = Self::GRAMMAR.check(text) {
            return Err(error);
        }
        let mut reserved = Self::RESERVED;
        while let [one, rest @ ..] = reserved {
            if is_equal(one.as_bytes(), text.as_bytes()) {
                return Err(InvalidText::new(Self::GRAMMAR, TextRule::Reserved));
            }
            reserved = rest;
        }
        let mut array = [0; Self::MAX_LENGTH];
        copy(text.as_bytes(), &mut array);
        Ok(Self { text: array, length: text.len() as u8 })
    }

    /// Returns the text.
    ///
    /// ```
    /// assert_eq!(keygate::Issuer::from_static("kg").as_str(), "kg");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        // INVARIANT: ASCII by construction, so the default is never taken.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl FromStr for Issuer {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

text_conversions!(Issuer);

text_type! {
    /// The name of a key, for people: `[a-z0-9-]{1,64}`, unique among the keys of one owner that are not revoked.
    KeyName, "nightly-batch", Grammar {
        what: "a key name",
        min: 1,
        max: 64,
        symbols: "lower-case letters, digits and hyphens",
        is_symbol: SymbolTest::LowercaseDigitHyphen,
        edges: "has only lower-case letters, digits and hyphens",
        is_first: SymbolTest::LowercaseDigitHyphen,
        is_last: SymbolTest::LowercaseDigitHyphen,
    }
}

text_type! {
    /// An environment: 1 to 40 lower-case letters, digits and inner hyphens.
    ///
    /// A platform with a slot that nobody may be granted, such as `development`, refuses that name where it makes keys.
    EnvironmentName, "production", Grammar {
        what: "an environment name",
        min: 1,
        max: 40,
        symbols: "lower-case letters, digits and hyphens",
        is_symbol: SymbolTest::LowercaseDigitHyphen,
        edges: "starts and ends with a letter or digit",
        is_first: SymbolTest::LowercaseDigit,
        is_last: SymbolTest::LowercaseDigit,
    }
}

/// `==` of slices cannot be called in a `const fn`.
pub(crate) const fn is_equal(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        (left, right) = (rest_left, rest_right);
    }
    left.is_empty() && right.is_empty()
}

/// `copy_from_slice` is no `const fn` before Rust 1.87.
pub(crate) const fn copy(mut from: &[u8], mut to: &mut [u8]) {
    while let ([symbol, rest_from @ ..], [place, rest_to @ ..]) = (from, to) {
        *place = *symbol;
        (from, to) = (rest_from, rest_to);
    }
}
