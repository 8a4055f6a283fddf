//! Texts that nobody guesses.

use keygate::{Randomness as _, RandomnessError, SystemRandomness};

/// Returns the hexadecimal digits of so many random bytes.
///
/// # Errors
///
/// If the system has no randomness to give.
pub(crate) fn hex<const BYTES: usize>() -> Result<String, RandomnessError> {
    let mut bytes = [0; BYTES];
    SystemRandomness.fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
