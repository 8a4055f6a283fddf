//! Points in time, as values; the core never reads a clock.

use core::{fmt, str::FromStr, time::Duration};

/// A point in time in whole seconds since 1970-01-01T00:00:00Z; every `i64` is legal.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use keygate::UnixTime;
///
/// let noon = UnixTime::from_secs(1_750_000_000);
/// assert_eq!(noon.saturating_add(Duration::from_secs(60)).as_secs(), 1_750_000_060);
/// assert!(noon < UnixTime::MAX);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct UnixTime(i64);

impl UnixTime {
    /// The latest representable time.
    pub const MAX: Self = Self(i64::MAX);
    /// The earliest representable time.
    pub const MIN: Self = Self(i64::MIN);

    /// Takes seconds since the Unix epoch.
    ///
    /// ```
    /// assert_eq!(keygate::UnixTime::from_secs(-1).as_secs(), -1);
    /// ```
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Reads the system clock, and drops the fraction of a second.
    ///
    /// It is the clock of `Gate::new`, of `KeyManager::new` and of `testing`; the core takes the time as an argument.
    ///
    /// ```
    /// use keygate::UnixTime;
    /// assert!(UnixTime::now() > UnixTime::from_secs(1_700_000_000));
    /// ```
    #[cfg(feature = "std")]
    #[cfg_attr(docsrs, doc(cfg(feature = "std")))]
    #[must_use]
    pub fn now() -> Self {
        match std::time::SystemTime::UNIX_EPOCH.elapsed() {
            Ok(since) => Self(0).saturating_add(since),
            Err(before) => Self(0).saturating_sub(before.duration()),
        }
    }

    /// Returns seconds since the Unix epoch.
    ///
    /// ```
    /// assert_eq!(keygate::UnixTime::from_secs(7).as_secs(), 7);
    /// ```
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// Returns the time `span` later, its fraction of a second dropped, at most [`UnixTime::MAX`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use keygate::UnixTime;
    /// assert_eq!(UnixTime::MAX.saturating_add(Duration::from_secs(1)), UnixTime::MAX);
    /// ```
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(span.as_secs()))
    }

    /// Returns the time `span` earlier, its fraction of a second dropped, at least [`UnixTime::MIN`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use keygate::UnixTime;
    /// assert_eq!(UnixTime::MIN.saturating_sub(Duration::from_secs(1)), UnixTime::MIN);
    /// ```
    #[must_use]
    pub const fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(span.as_secs()))
    }
}

impl FromStr for UnixTime {
    type Err = InvalidTime;

    /// Takes what `Display` prints: a decimal number without leading zeros or a plus sign.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let seconds = text.parse().map_err(|_| InvalidTime)?;
        let is_canonical = text
            .strip_prefix('-')
            .map_or(text == "0" || !text.starts_with(['0', '+']), |digits| !digits.starts_with('0'));
        if is_canonical { Ok(Self(seconds)) } else { Err(InvalidTime) }
    }
}

/// A text that is no time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a time is a decimal number of seconds, without leading zeros or a plus sign")]
#[non_exhaustive]
pub struct InvalidTime;

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for UnixTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl<'de> serde::de::Visitor<'de> for Seconds {
            type Value = UnixTime;

            crate::serialized::refuse!("a whole number of seconds": bool i128 u128 f64 str bytes unit seq map);

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<UnixTime, E> {
                Ok(UnixTime(seconds))
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<UnixTime, E> {
                seconds.try_into().map(UnixTime).map_err(|_| E::custom("a time is less than 2^63 seconds"))
            }
        }

        deserializer.deserialize_any(Seconds)
    }
}
