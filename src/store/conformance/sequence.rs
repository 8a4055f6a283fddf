//! Bytes that look random and are the same in every run.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::randomness::{Randomness, RandomnessError};

/// splitmix64 (Steele, Lea, Flood 2014) from a fixed start: a violation looks the same in every run. Nothing here is
/// secret, and no token belongs to the digests that are made of it.
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn draw(&self) -> [u8; 8] {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }
}

impl Randomness for Sequence {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        for chunk in bytes.chunks_mut(8) {
            chunk.iter_mut().zip(self.draw()).for_each(|(byte, drawn)| *byte = drawn);
        }
        Ok(())
    }
}
