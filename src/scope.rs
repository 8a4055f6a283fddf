//! The restrictions of a team key: everything, spelled out, or a set that cannot be empty.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, slice};

use crate::{
    id::{ModelId, ResourceId},
    name::EnvironmentName,
};

/// The environments that a team key may call.
pub type EnvironmentScope = Scope<EnvironmentName>;

/// The models that a team key may call, or export metrics of.
pub type ModelScope = Scope<ModelId>;

/// The resources that a custom key may act on.
pub type ResourceScope = Scope<ResourceId>;

/// Everything, or only the members of a set that is never empty.
///
/// `All` includes what is created later. A name in `Only` stays when its model or environment is deleted and matches
/// nothing until one of that name exists again. Absence never means "everything": there is no `Default`, and an empty
/// list is an error wherever it comes from. With feature `serde` it is the text `all`, or a list.
///
/// ```
/// use keygate::{EnvironmentScope, InvalidScope};
///
/// let scope = EnvironmentScope::only(["production".parse()?, "staging".parse()?])?;
/// assert!(scope.contains(&"staging".parse()?));
/// assert!(EnvironmentScope::All.contains(&"staging".parse()?));
/// assert_eq!(EnvironmentScope::only([]), Err(InvalidScope::Empty));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a third form would be a restriction that old code reads as none")]
pub enum Scope<T> {
    /// Everything that exists or will exist.
    All,
    /// Only what the set names.
    Only(NonEmptySet<T>),
}

impl<T: AsRef<str>> Scope<T> {
    /// Restricts to some members; repeats collapse.
    ///
    /// ```
    /// use keygate::{InvalidScope, ModelScope};
    /// let scope = ModelScope::only(["m1".parse()?, "m1".parse()?])?;
    /// assert_eq!(scope.members().map(|members| members.len()), Some(1));
    /// assert_eq!(ModelScope::only([]), Err(InvalidScope::Empty));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidScope::Empty`] if no member is given.
    pub fn only(members: impl IntoIterator<Item = T>) -> Result<Self, InvalidScope> {
        NonEmptySet::new(members).map(Self::Only)
    }

    /// Returns `true` if the scope covers `item`.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(item),
        }
    }

    /// Returns a reference to the members of a restriction, or nothing for `All`.
    ///
    /// ```
    /// assert_eq!(keygate::ModelScope::All.members(), None);
    /// ```
    #[must_use]
    pub const fn members(&self) -> Option<&NonEmptySet<T>> {
        match self {
            Self::All => None,
            Self::Only(set) => Some(set),
        }
    }
}

/// A set with at least one member, immutable, cheap to clone; only [`Scope`]'s constructors make one.
///
/// ```
/// use keygate::EnvironmentScope;
/// let scope = EnvironmentScope::only(["staging".parse()?, "production".parse()?])?;
/// let names: Vec<_> = scope.members().unwrap().iter().map(|name| name.as_str()).collect();
/// assert_eq!(names, ["production", "staging"]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
// INVARIANT: in ascending order of the texts, without repeats. The box makes a set one word: most of a record are sets.
pub struct NonEmptySet<T>(Arc<Box<[T]>>);

impl<T: AsRef<str>> NonEmptySet<T> {
    /// Makes a set; repeats collapse.
    ///
    /// # Errors
    ///
    /// [`InvalidScope::Empty`] if no member is given.
    pub fn new(members: impl IntoIterator<Item = T>) -> Result<Self, InvalidScope> {
        let mut members: Vec<T> = members.into_iter().collect();
        members.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        members.dedup_by(|a, b| a.as_ref() == b.as_ref());
        if members.is_empty() { Err(InvalidScope::Empty) } else { Ok(Self(Arc::new(members.into_boxed_slice()))) }
    }

    /// Returns `true` if `item` is a member.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        self.contains_text(item.as_ref())
    }

    /// Returns `true` if a member has this text, which is what makes ids of two types one and the same.
    #[inline]
    pub(crate) fn contains_text(&self, text: &str) -> bool {
        self.0.binary_search_by_key(&text, AsRef::as_ref).is_ok()
    }
}

impl<T> NonEmptySet<T> {
    /// Returns a reference to the members in ascending order.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Returns the number of members, which is at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, T> IntoIterator for &'a NonEmptySet<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: PartialEq> PartialEq for NonEmptySet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for NonEmptySet<T> {}

impl<T: fmt::Debug> fmt::Debug for NonEmptySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A restriction that cannot be granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScope {
    /// A restriction names at least one member; "everything" is spelled out.
    #[error("a restriction has at least one member; an empty list is not everything")]
    Empty,
}

#[cfg(feature = "serde")]
mod serialized {
    //! `"all"`, or a list with at least one member in any order.

    use alloc::vec::Vec;
    use core::marker::PhantomData;

    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{Error, SeqAccess, Visitor},
    };

    use super::{NonEmptySet, Scope};

    const ALL: &str = "all";

    impl<T: Serialize> Serialize for Scope<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::All => serializer.serialize_str(ALL),
                Self::Only(set) => serializer.collect_seq(set),
            }
        }
    }

    impl<'de, T: Deserialize<'de> + AsRef<str>> Deserialize<'de> for Scope<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(ScopeVisitor(PhantomData))
        }
    }

    impl<T: Serialize> Serialize for NonEmptySet<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self)
        }
    }

    impl<'de, T: Deserialize<'de> + AsRef<str>> Deserialize<'de> for NonEmptySet<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match Scope::deserialize(deserializer)? {
                Scope::Only(set) => Ok(set),
                Scope::All => Err(D::Error::custom("expected a list")),
            }
        }
    }

    struct ScopeVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + AsRef<str>> Visitor<'de> for ScopeVisitor<T> {
        type Value = Scope<T>;

        crate::serialized::refuse!("`all` or a list": bool i128 u128 i64 u64 f64 bytes unit map);

        fn visit_str<E: Error>(self, text: &str) -> Result<Scope<T>, E> {
            // The input is not quoted: it may be anything.
            if text == ALL { Ok(Scope::All) } else { Err(E::custom("a scope is `all` or a list")) }
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scope<T>, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = list.next_element()? {
                members.push(member);
            }
            Scope::only(members).map_err(A::Error::custom)
        }
    }
}
