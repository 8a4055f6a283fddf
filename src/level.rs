//! Permission levels of team keys.

use core::str::FromStr;

use crate::text::text_fmt;

/// How much a team key may do; what each level covers is written in [`policy`](crate::policy).
///
/// Levels are frozen: an action added later is covered by none of them until someone writes it there. There is no
/// `Default`: the caller who mints a key chooses.
///
/// ```
/// use keygate::PermissionLevel;
/// assert_eq!("inference_only".parse(), Ok(PermissionLevel::InferenceOnly));
/// assert!("admin".parse::<PermissionLevel>().is_err());
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum PermissionLevel {
    /// The actions that the key lists.
    Custom,
    /// Every action but the explicit ones.
    Full,
    /// Call models.
    InferenceOnly,
    /// Export metrics.
    MetricsOnly,
}

impl PermissionLevel {
    /// Every level.
    pub const ALL: &'static [Self] = &[Self::Custom, Self::Full, Self::InferenceOnly, Self::MetricsOnly];

    /// Returns the name used in text and serialized records.
    ///
    /// ```
    /// assert_eq!(keygate::PermissionLevel::MetricsOnly.as_str(), "metrics_only");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Full => "full",
            Self::InferenceOnly => "inference_only",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

impl FromStr for PermissionLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.iter().copied().find(|level| level.as_str() == text).ok_or(UnknownLevel)
    }
}

text_fmt!(PermissionLevel);

/// A text that names no [`PermissionLevel`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a level is `full`, `inference_only`, `metrics_only` or `custom`")]
#[non_exhaustive]
pub struct UnknownLevel;
