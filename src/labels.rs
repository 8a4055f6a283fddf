//! Labels: notes that the owners of a key write on it. They decide nothing.

use alloc::vec::Vec;

use crate::text::{Grammar, SymbolTest, text_type};

text_type! {
    /// The name of a label: `[a-z][a-z0-9_-]{0,31}`.
    LabelName, "cost-center", Grammar {
        what: "a label name",
        min: 1,
        max: 32,
        symbols: "lower-case letters, digits, `_` and `-`",
        is_symbol: SymbolTest::Label,
        edges: "begins with a letter",
        is_first: SymbolTest::Lowercase,
        is_last: SymbolTest::Label,
    }
}

text_type! {
    /// The value of a label: up to 128 printable ASCII symbols, or none.
    LabelValue, "R&D", Grammar {
        what: "a label value",
        min: 0,
        max: 128,
        symbols: "printable ASCII symbols",
        is_symbol: SymbolTest::Printable,
        edges: "has only printable ASCII symbols",
        is_first: SymbolTest::Printable,
        is_last: SymbolTest::Printable,
    }
}

/// Up to 16 labels, each name once; they stand in lists, in events and in authorizations.
///
/// ```
/// use keygate::{InvalidLabels, Labels};
///
/// let labels = Labels::new([("team".parse()?, "search".parse()?), ("ci".parse()?, "".parse()?)])?;
/// assert_eq!(labels.get("team").map(|value| value.as_str()), Some("search"));
/// assert_eq!(Labels::NONE.len(), 0);
///
/// let twice = Labels::new([("team".parse()?, "a".parse()?), ("team".parse()?, "b".parse()?)]);
/// assert_eq!(twice, Err(InvalidLabels::Repeated));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Labels(
    /// By name. Not a map: dropping a record must not be able to panic.
    Vec<(LabelName, LabelValue)>,
);

impl Labels {
    /// No labels.
    pub const NONE: Self = Self(Vec::new());

    /// The largest number of labels on a key.
    pub const MAX: usize = 16;

    /// Takes labels in any order.
    ///
    /// # Errors
    ///
    /// - [`InvalidLabels::TooMany`] if there are more than [`Labels::MAX`].
    /// - [`InvalidLabels::Repeated`] if a name is there twice.
    pub fn new(labels: impl IntoIterator<Item = (LabelName, LabelValue)>) -> Result<Self, InvalidLabels> {
        let mut all = Self::NONE;
        for (name, value) in labels {
            all.insert(name, value)?;
        }
        Ok(all)
    }

    fn insert(&mut self, name: LabelName, value: LabelValue) -> Result<(), InvalidLabels> {
        let Err(place) = self.0.binary_search_by(|(other, _)| other.cmp(&name)) else {
            return Err(InvalidLabels::Repeated);
        };
        if self.0.len() == Self::MAX {
            return Err(InvalidLabels::TooMany);
        }
        self.0.insert(place, (name, value));
        Ok(())
    }

    /// Returns the value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LabelValue> {
        self.iter().find(|(other, _)| other.as_str() == name).map(|(_, value)| value)
    }

    /// Returns the labels by name.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&LabelName, &LabelValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Returns the number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why labels are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLabels {
    /// A name is there twice.
    #[error("a label name is there twice")]
    Repeated,
    /// There are more than 16.
    #[error("a key has at most 16 labels")]
    TooMany,
}

#[cfg(feature = "serde")]
mod serialized {
    //! A map from name to value.

    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{Error, MapAccess, Visitor},
    };

    use super::{LabelName, LabelValue, Labels};
    use crate::serialized::Name;

    impl Serialize for Labels {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.iter())
        }
    }

    impl<'de> Deserialize<'de> for Labels {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(LabelsVisitor)
        }
    }

    struct LabelsVisitor;

    impl<'de> Visitor<'de> for LabelsVisitor {
        type Value = Labels;

        crate::serialized::refuse!("labels by name": bool i128 u128 i64 u64 f64 str bytes unit seq);

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut labels = Labels::NONE;
            // The name as any text first: the error of a key that does not parse would quote it in some formats.
            while let Some(Name(name)) = map.next_key()? {
                let name: LabelName = name.parse().map_err(A::Error::custom)?;
                let value: LabelValue = map.next_value()?;
                labels.insert(name, value).map_err(A::Error::custom)?;
            }
            Ok(labels)
        }
    }
}
