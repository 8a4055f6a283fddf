//! Text that must not be seen: one door out, wiped on drop.

use alloc::string::String;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text on the heap.
///
/// # Security
///
/// - The content leaves by [`SecretText::expose_secret`] only. There is no `Display`, `Clone`, `Serialize`, `Deref`,
///   `AsRef`, `Borrow` or `Debug`.
/// - Dropping it overwrites the bytes. They are on the heap, so that moving the value leaves no copy behind.
/// - There is no `==`: compare digests instead.
pub(crate) struct SecretText(String);

impl SecretText {
    /// Takes ownership of a text whose buffer was never reallocated: a reallocation would have left a copy behind.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns a reference to the secret.
    #[must_use]
    pub(crate) fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for SecretText {}
