//! The restrictions of a team key: everything, spelled out, or a set that cannot be empty.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
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

impl<T: AsRef<str> + Ord> Scope<T> {
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

    /// Returns `true` if the scope covers `item`, in a time that does not grow with the number of members.
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
pub struct NonEmptySet<T>(Arc<Index<T>>);

/// Members in order, and a directory from hash to members.
///
/// `alloc` has no hash set, and a binary search over 100,000 members costs several times one over ten. The directory
/// has one bucket for each member; what shares a bucket is in order and searched by halves. So a look-up is one hash
/// and about one comparison, and members that were chosen to collide cost no more than a binary search: that is why
/// the hash needs no secret key.
struct Index<T> {
    members: Box<[T]>,
    // INVARIANT: positions in `members`, grouped by bucket and ascending within each; bucket `b` is
    // `positions[starts[b]..starts[b + 1]]`, and the number of buckets is a power of two.
    positions: Box<[u32]>,
    starts: Box<[u32]>,
}

impl<T: AsRef<str> + Ord> NonEmptySet<T> {
    /// Makes a set; repeats collapse.
    ///
    /// # Errors
    ///
    /// [`InvalidScope::Empty`] if no member is given.
    pub fn new(members: impl IntoIterator<Item = T>) -> Result<Self, InvalidScope> {
        let mut members: Vec<T> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        if members.is_empty() {
            return Err(InvalidScope::Empty);
        }
        let count = u32::try_from(members.len()).map_err(|_| InvalidScope::TooMany)?;
        let buckets = members.len().checked_next_power_of_two().ok_or(InvalidScope::TooMany)?;
        let bucket_of = |member: &T| bucket(member.as_ref(), buckets);
        // A counting sort: how many are in each bucket, so where each ends, and then each to its place, from the last.
        let mut starts: Vec<u32> = vec![0; buckets.saturating_add(1)];
        let mut positions: Vec<u32> = vec![0; members.len()];
        for member in &members {
            if let Some(size) = starts.get_mut(bucket_of(member)) {
                *size = size.saturating_add(1);
            }
        }
        let mut end = 0_u32;
        for start in &mut starts {
            end = end.saturating_add(*start);
            *start = end;
        }
        for (position, member) in (0..count).zip(&members).rev() {
            if let Some(start) = starts.get_mut(bucket_of(member)) {
                *start = start.saturating_sub(1);
                if let Some(place) = positions.get_mut(*start as usize) {
                    *place = position;
                }
            }
        }
        Ok(Self(Arc::new(Index {
            members: members.into_boxed_slice(),
            positions: positions.into_boxed_slice(),
            starts: starts.into_boxed_slice(),
        })))
    }

    /// Returns `true` if `item` is a member.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        self.contains_text(item.as_ref())
    }

    /// Returns `true` if a member has this text, which is what makes ids of two types one and the same.
    #[inline]
    pub(crate) fn contains_text(&self, text: &str) -> bool {
        let Index { members, positions, starts } = &*self.0;
        if members.len() <= FEW {
            return members.iter().any(|member| member.as_ref() == text);
        }
        let bucket = bucket(text, starts.len().saturating_sub(1));
        let Some([start, end]) = starts.get(bucket..bucket.saturating_add(2)) else { return false };
        positions.get(*start as usize..*end as usize).is_some_and(|places| {
            let member = |place: &u32| members.get(*place as usize).map(AsRef::as_ref);
            places.binary_search_by_key(&Some(text), member).is_ok()
        })
    }
}

impl<T> NonEmptySet<T> {
    /// Returns a reference to the members in ascending order.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.0.members.iter()
    }

    /// Returns the number of members, which is at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.members.len()
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
        self.0.members == other.0.members
    }
}

impl<T: Eq> Eq for NonEmptySet<T> {}

impl<T: fmt::Debug> fmt::Debug for NonEmptySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// So few are compared one by one, mostly by their lengths.
const FEW: usize = 4;

/// FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv), its high half folded in, reduced to a power of two of buckets.
fn bucket(text: &str, buckets: usize) -> usize {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    let folded = (hash ^ (hash >> 32)) as usize;
    folded & buckets.saturating_sub(1)
}

/// A restriction that cannot be granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScope {
    /// A restriction names at least one member; "everything" is spelled out.
    #[error("a restriction has at least one member; an empty list is not everything")]
    Empty,
    /// More than 2^32 members.
    #[error("a restriction has fewer than 2^32 members")]
    TooMany,
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

    impl<'de, T: Deserialize<'de> + AsRef<str> + Ord> Deserialize<'de> for Scope<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(ScopeVisitor(PhantomData))
        }
    }

    impl<T: Serialize> Serialize for NonEmptySet<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self)
        }
    }

    impl<'de, T: Deserialize<'de> + AsRef<str> + Ord> Deserialize<'de> for NonEmptySet<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match Scope::deserialize(deserializer)? {
                Scope::Only(set) => Ok(set),
                Scope::All => Err(D::Error::custom("expected a list")),
            }
        }
    }

    struct ScopeVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + AsRef<str> + Ord> Visitor<'de> for ScopeVisitor<T> {
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
