//! The sources of random bytes.

/// A cryptographically secure generator of random bytes, shared by reference.
///
/// The front door brings [`SystemRandomness`]. A service that needs another one implements this: a lock around a
/// generator of the `rand_core` crate is one (feature `rand_core`).
///
/// # Security
///
/// Every id and secret comes from here, so anyone who predicts the bytes has the keys. Never clone a generator: two
/// copies give the same secrets.
pub trait Randomness: Send + Sync {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    ///
    /// [`RandomnessError`] if the generator failed; callers do not use the content of `bytes` then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError>;
}

/// The generator failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the random generator failed")]
#[non_exhaustive]
pub struct RandomnessError;

impl RandomnessError {
    /// Makes the error, for generators of other crates.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for RandomnessError {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Randomness + ?Sized> Randomness for &T {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        (**self).fill(bytes)
    }
}

impl<T: Randomness + ?Sized> Randomness for alloc::sync::Arc<T> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        (**self).fill(bytes)
    }
}

/// The generator of the operating system.
///
/// ```
/// use keygate::{Randomness, SystemRandomness};
///
/// let mut bytes = [0; 32];
/// SystemRandomness.fill(&mut bytes)?;
/// assert_ne!(bytes, [0; 32]);
/// # Ok::<(), keygate::RandomnessError>(())
/// ```
#[cfg(feature = "getrandom")]
#[cfg_attr(docsrs, doc(cfg(feature = "getrandom")))]
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for the system's generator, without content")]
pub struct SystemRandomness;

#[cfg(feature = "getrandom")]
impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        getrandom::fill(bytes).map_err(|_| RandomnessError)
    }
}

/// A generator of the `rand_core` crate, behind a lock; a generator that panicked while it was locked is not used
/// again.
///
/// ```
/// use std::sync::Mutex;
/// use keygate::Randomness;
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let generator = Mutex::new(ChaCha20Rng::from_seed([1; 32])); // a seed of your own
/// generator.fill(&mut [0; 16])?;
/// # Ok::<(), keygate::RandomnessError>(())
/// ```
#[cfg(feature = "rand_core")]
#[cfg_attr(docsrs, doc(cfg(feature = "rand_core")))]
impl<R: rand_core::TryCryptoRng + Send> Randomness for std::sync::Mutex<R> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        let mut generator = self.lock().map_err(|_| RandomnessError)?;
        generator.try_fill_bytes(bytes).map_err(|_| RandomnessError)
    }
}
