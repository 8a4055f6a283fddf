//! Marks the ids that were forgotten while they were looked up.

use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::KeyId;

/// How often ids were forgotten, by a part of the id: a look-up of an id that was forgotten meanwhile is void.
///
/// Two ids that share a part void each other's look-ups, which costs a look-up and nothing else.
pub(super) struct Generations([Mutex<u64>; PARTS]);

impl Generations {
    pub(super) fn new() -> Self {
        Self([const { Mutex::new(0) }; PARTS])
    }

    pub(super) fn of(&self, id: KeyId) -> MutexGuard<'_, u64> {
        let place = id.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let [first, ..] = &self.0;
        let part = self.0.get(place & (PARTS - 1)).unwrap_or(first);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<MutexGuard<'_, u64>> {
        self.0.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// A power of two.
const PARTS: usize = 64;
