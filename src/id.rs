//! Ids: those of keys, those of the embedding service, and the kind of a key.

use core::str::FromStr;

use crate::text::{Grammar, InvalidText, SymbolTest, text_conversions, text_fmt, text_type};

/// The public id of a key: `[A-Za-z0-9]{16}`, loggable, unchanged by rotation, compared byte by byte.
///
/// ```
/// use keygate::KeyId;
///
/// let id: KeyId = "wk59pfKL0jFi2YYv".parse()?;
/// assert_eq!(id.to_string(), "wk59pfKL0jFi2YYv");
/// assert!("wk59pfKL0jFi2YY-".parse::<KeyId>().is_err());
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
// Whole words: copies of odd parts took a tenth of the time of the `tower` layers.
#[repr(align(8))]
pub struct KeyId([u8; Self::LENGTH]);

impl KeyId {
    /// The number of symbols of every id.
    pub const LENGTH: usize = 16;

    const GRAMMAR: &'static Grammar = &Grammar {
        what: "a key id",
        min: Self::LENGTH,
        max: Self::LENGTH,
        symbols: "letters and digits",
        is_symbol: SymbolTest::Alphanumeric,
        edges: "has only letters and digits",
        is_first: SymbolTest::Alphanumeric,
        is_last: SymbolTest::Alphanumeric,
    };

    /// Takes symbols that were checked, or drawn, by the caller.
    pub(crate) const fn from_checked(symbols: [u8; Self::LENGTH]) -> Self {
        Self(symbols)
    }

    /// Returns the text.
    ///
    /// ```
    /// let id: keygate::KeyId = "wk59pfKL0jFi2YYv".parse()?;
    /// assert_eq!(id.as_str().len(), keygate::KeyId::LENGTH);
    /// # Ok::<(), keygate::InvalidText>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        // INVARIANT: every constructor checked for ASCII letters and digits, so the default is never taken.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::GRAMMAR.check(text)?;
        let mut symbols = [0; Self::LENGTH];
        symbols.copy_from_slice(text.as_bytes());
        Ok(Self(symbols))
    }
}

text_conversions!(KeyId);

/// Whether a user or a team owns a key: written into the token, immutable, and equal to the kind of the stored record.
///
/// ```
/// use keygate::KeyKind;
/// assert_eq!("team".parse(), Ok(KeyKind::Team));
/// assert_eq!(KeyKind::Personal.to_string(), "personal");
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the token format knows two kinds; a third is a new format")]
pub enum KeyKind {
    /// `p`: the key acts as its user and ends with them.
    Personal,
    /// `t`: the key belongs to a team and to no user.
    Team,
}

impl KeyKind {
    /// Returns the symbol that stands for the kind in a token.
    ///
    /// ```
    /// assert_eq!(keygate::KeyKind::Team.symbol(), "t");
    /// ```
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Personal => "p",
            Self::Team => "t",
        }
    }

    /// Reads the symbol that stands for a kind in a token.
    pub(crate) const fn from_symbol(symbol: u8) -> Option<Self> {
        match symbol {
            b'p' => Some(Self::Personal),
            b't' => Some(Self::Team),
            _ => None,
        }
    }

    /// Returns the name used in text and serialized records.
    ///
    /// ```
    /// assert_eq!(keygate::KeyKind::Team.as_str(), "team");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Team => "team",
        }
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "personal" => Ok(Self::Personal),
            "team" => Ok(Self::Team),
            _ => Err(UnknownKind),
        }
    }
}

text_fmt!(KeyKind);

/// A text that names no [`KeyKind`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key kind is `personal` or `team`")]
#[non_exhaustive]
pub struct UnknownKind;

text_type! {
    /// A user, as the embedding service names them: 1 to 128 visible ASCII symbols, unique across organizations.
    ///
    /// The service brings its own ids; they are opaque here and compared byte by byte.
    UserId, "ada", opaque("a user id")
}

text_type! {
    /// A team, as the embedding service names it: 1 to 128 visible ASCII symbols, unique across organizations.
    ///
    /// A service without teams uses one constant team.
    TeamId, "core", opaque("a team id")
}

text_type! {
    /// The id of a model, or of the entry point of a chain: 1 to 128 visible ASCII symbols.
    ///
    /// Resolve it from your own routing: a piece of a raw URL is not an id.
    ModelId, "m1aaaaaa", opaque("a model id")
}

text_type! {
    /// The resource of an own action, as the embedding service names it: 1 to 128 visible ASCII symbols.
    ///
    /// For a custom key the model of a call is its resource.
    ResourceId, "project-7", opaque("a resource id")
}

/// Ids of the embedding service: bounded, visible, otherwise not our business.
const fn opaque(what: &'static str) -> Grammar {
    Grammar {
        what,
        min: 1,
        max: 128,
        symbols: "visible ASCII symbols",
        is_symbol: SymbolTest::Visible,
        edges: "has only visible ASCII symbols",
        is_first: SymbolTest::Visible,
        is_last: SymbolTest::Visible,
    }
}
