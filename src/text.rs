//! The base of every name and id: one grammar for `FromStr`, `Display` and serde, and an error that names the
//! rule broken and never the input.

use core::fmt;

/// A name or an id that does not fit its grammar.
///
/// ```
/// use keygate::{KeyName, TextRule};
///
/// let error = "Production".parse::<KeyName>().unwrap_err();
/// assert_eq!(error.rule(), TextRule::Symbol);
/// assert_eq!(error.to_string(), "a key name has only lower-case letters, digits and hyphens");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidText {
    grammar: &'static Grammar,
    rule: TextRule,
}

impl InvalidText {
    pub(crate) const fn new(grammar: &'static Grammar, rule: TextRule) -> Self {
        Self { grammar, rule }
    }

    /// Returns the rule that was broken.
    #[must_use]
    pub const fn rule(&self) -> TextRule {
        self.rule
    }
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grammar { what, min, max, symbols, edges, .. } = self.grammar;
        match self.rule {
            TextRule::Length if min == max => write!(f, "{what} has {max} symbols"),
            TextRule::Length => write!(f, "{what} has {min} to {max} symbols"),
            TextRule::Symbol => write!(f, "{what} has only {symbols}"),
            TextRule::Edge => write!(f, "{what} {edges}"),
            TextRule::Reserved => write!(f, "{what} must not be one that others use"),
        }
    }
}

impl core::error::Error for InvalidText {}

/// The rule that a text breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TextRule {
    /// The first or the last symbol may not stand there.
    Edge,
    /// The text is empty, too short or too long.
    Length,
    /// The text is refused, although it fits the grammar.
    Reserved,
    /// A symbol is outside the alphabet.
    Symbol,
}

/// The grammar of a kind of text, and the words that explain it to a person.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Grammar {
    pub(crate) what: &'static str,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) symbols: &'static str,
    pub(crate) is_symbol: SymbolTest,
    pub(crate) edges: &'static str,
    pub(crate) is_first: SymbolTest,
    pub(crate) is_last: SymbolTest,
}

impl Grammar {
    /// Checks `text` against the grammar, its length before anything else.
    pub(crate) const fn check(&'static self, text: &str) -> Result<(), InvalidText> {
        let bytes = text.as_bytes();
        if bytes.len() < self.min || bytes.len() > self.max {
            return Err(InvalidText::new(self, TextRule::Length));
        }
        let mut rest = bytes;
        while let [symbol, tail @ ..] = rest {
            if !self.is_symbol.accepts(*symbol) {
                return Err(InvalidText::new(self, TextRule::Symbol));
            }
            rest = tail;
        }
        match (bytes.first(), bytes.last()) {
            // Of the right length, so there may be none.
            (None, None) => Ok(()),
            (Some(first), Some(last)) if self.is_first.accepts(*first) && self.is_last.accepts(*last) => Ok(()),
            _ => Err(InvalidText::new(self, TextRule::Edge)),
        }
    }
}

/// A set of ASCII symbols; a plain function could not be called in a `const fn`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SymbolTest {
    Action,
    Alphanumeric,
    Label,
    Lowercase,
    LowercaseDigit,
    LowercaseDigitHyphen,
    Printable,
    Visible,
}

impl SymbolTest {
    const fn accepts(self, symbol: u8) -> bool {
        match self {
            Self::Action => Self::Label.accepts(symbol) || symbol == b':',
            Self::Label => Self::LowercaseDigitHyphen.accepts(symbol) || symbol == b'_',
            Self::Alphanumeric => symbol.is_ascii_alphanumeric(),
            Self::Lowercase => symbol.is_ascii_lowercase(),
            Self::LowercaseDigit => symbol.is_ascii_lowercase() || symbol.is_ascii_digit(),
            Self::LowercaseDigitHyphen => symbol.is_ascii_lowercase() || symbol.is_ascii_digit() || symbol == b'-',
            Self::Printable => symbol.is_ascii_graphic() || symbol == b' ',
            Self::Visible => symbol.is_ascii_graphic(),
        }
    }
}

/// Declares a text type on the heap, cheap to clone, whose only door in is its [`Grammar`].
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $example:literal, $grammar:expr) => {
        crate::text::text_type!($(#[$doc])* "keygate::", $name, $example, $grammar);
    };
    ($(#[$doc:meta])* $path:literal, $name:ident, $example:literal, $grammar:expr) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(alloc::sync::Arc<str>);

        impl $name {
            pub(crate) const GRAMMAR: &'static crate::text::Grammar = &$grammar;

            /// Returns the text.
            ///
            /// ```
            #[doc = concat!("let text: ", $path, stringify!($name), " = \"", $example, "\".parse()?;")]
            #[doc = concat!("assert_eq!(text.as_str(), \"", $example, "\");")]
            /// # Ok::<(), keygate::InvalidText>(())
            /// ```
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl core::str::FromStr for $name {
            type Err = crate::text::InvalidText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::GRAMMAR.check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        crate::text::text_conversions!($name);
    };
}

/// Everything that follows from `FromStr` and `as_str`, the same for each type.
macro_rules! text_conversions {
    ($name:ident) => {
        impl TryFrom<&str> for $name {
            type Error = crate::text::InvalidText;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<alloc::string::String> for $name {
            type Error = crate::text::InvalidText;

            fn try_from(text: alloc::string::String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for alloc::string::String {
            fn from(value: $name) -> Self {
                value.as_str().into()
            }
        }

        crate::text::text_fmt!($name);
    };
}

/// `Display`, `Debug` and serde of a type with `as_str` and `FromStr`.
macro_rules! text_fmt {
    ($name:ident) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }

        crate::text::text_serde!($name);
    };
}

/// Serde as text: a type with `Display`, and `FromStr` with a displayable error.
macro_rules! text_serde {
    ($name:ident) => {
        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(crate::text::TextVisitor(core::marker::PhantomData))
            }
        }
    };
}

pub(crate) use {text_conversions, text_fmt, text_serde, text_type};

#[cfg(feature = "serde")]
pub(crate) struct TextVisitor<T>(pub(crate) core::marker::PhantomData<T>);

#[cfg(feature = "serde")]
impl<'de, T: core::str::FromStr<Err: fmt::Display>> serde::de::Visitor<'de> for TextVisitor<T> {
    type Value = T;

    crate::serialized::refuse!("a text": bool i128 u128 i64 u64 f64 bytes unit seq map);

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
