//! The ids that changed since a revision, so that caches on other nodes can follow.

use alloc::vec::Vec;
use core::{fmt, future::Future};

use super::KeyStore;
use crate::{encoding::write_hex, id::KeyId};

/// Lists the keys that changed since a revision.
///
/// # Contract
///
/// - The revision grows with each change of a key, and is written in the change's own transaction. Touches do not move
///   it.
/// - The list misses no change: a change that commits after one that began later is in the answer to a revision from
///   before its commit. A counter row that each change locks does this, and so does reading by the transaction horizon;
///   an auto-increment does not.
/// - The answer is the state at some moment after the call began.
/// - A store that is restored from a backup draws another [`Revision::life`]. It answers [`Changes::Everything`] to a
///   revision of another life, of the future, or too old for its list, and whenever a list would be too long.
///
/// ```
/// use keygate::{MemoryStore, store::{ChangeFeed, Changes}};
///
/// let store = MemoryStore::new();
/// let Changes::Everything { revision } = pollster::block_on(store.changes_since(None))? else {
///     panic!("nothing is known before the first question");
/// };
/// let nothing = pollster::block_on(store.changes_since(Some(revision)))?;
/// assert_eq!(nothing, Changes::Keys { ids: vec![], revision });
/// # Ok::<(), core::convert::Infallible>(())
/// ```
pub trait ChangeFeed: KeyStore {
    /// Returns the keys that changed after `since`; everything, if `since` is `None`.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    fn changes_since(&self, since: Option<Revision>) -> impl Future<Output = Result<Changes, Self::Error>> + Send;
}

/// A place in the history of a store.
///
/// ```
/// use keygate::store::Revision;
/// assert_eq!(Revision::new([0xab; 16], 7).to_string(), "abababababababababababababababab:7");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Revision {
    life: [u8; 16],
    number: u64,
}

impl Revision {
    /// Takes the random identity of a store's life, which is new with each restore, and the number of a change.
    #[must_use]
    pub const fn new(life: [u8; 16], number: u64) -> Self {
        Self { life, number }
    }

    /// Returns the identity of the store's life.
    #[must_use]
    pub const fn life(self) -> [u8; 16] {
        self.life
    }

    /// Returns the number, which grows with each change.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Returns `true` if a list of changes leads from `known` to this: of the same life, and not before it.
    #[must_use]
    pub fn follows(self, known: Self) -> bool {
        self.life == known.life && self.number >= known.number
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.life, f)?;
        write!(f, ":{}", self.number)
    }
}

/// The ids that changed since a revision.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a cache must heed each")]
pub enum Changes {
    /// The changed keys are not known: any may have changed.
    Everything {
        /// The revision now.
        revision: Revision,
    },
    /// These keys, and no others.
    Keys {
        /// Their ids, in any order.
        ids: Vec<KeyId>,
        /// The revision now.
        revision: Revision,
    },
}

impl Changes {
    /// Returns the revision that this answer reaches up to.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        match self {
            Self::Everything { revision } | Self::Keys { revision, .. } => *revision,
        }
    }
}
