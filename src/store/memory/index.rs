//! Records as members of sets, by what they are looked up by.

use alloc::sync::Arc;
use core::{
    borrow::Borrow,
    hash::{Hash, Hasher},
};

use crate::{
    grant::Grant,
    id::{KeyId, KeyKind},
    name::KeyName,
    record::KeyRecord,
};

/// A record that is equal to those of the same id.
#[derive(Debug)]
pub(super) struct ById(pub(super) Arc<KeyRecord>);

impl Borrow<KeyId> for ById {
    fn borrow(&self) -> &KeyId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

/// A record that is equal to those of the same owner and name.
#[derive(Debug)]
pub(super) struct ByName(pub(super) Arc<KeyRecord>);

impl ByName {
    fn name(&self) -> (KeyKind, &str, &KeyName) {
        match &self.0.grant {
            Grant::Personal { user } => (KeyKind::Personal, user.as_str(), &self.0.name),
            Grant::Team { team, .. } => (KeyKind::Team, team.as_str(), &self.0.name),
        }
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ByName {}

/// Mixes what is random already: ids that are stored were drawn, or derived by SHA-256 from imported keys, which only
/// the system imports. Look-ups of chosen ids store nothing. So the hash needs no secret key.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks_exact(8).filter_map(<[u8]>::first_chunk) {
            // The fractional part of the golden ratio: Fibonacci hashing (Knuth, volume 3, section 6.4).
            self.0 = (self.0 ^ u64::from_ne_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which is the same for all.
    }

    fn finish(&self) -> u64 {
        // The upper bits are the mixed ones, and a table takes the lower ones.
        self.0.rotate_left(32)
    }
}
