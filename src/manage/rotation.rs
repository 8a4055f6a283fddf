//! Giving a key another secret under a permit.

use core::time::Duration;

use super::{MintRules, MintedSecret, Permit, PermitError, Rotate};
use crate::{
    issue::Rotation,
    name::Issuer,
    randomness::Randomness,
    record::{KeyRecord, PreviousSecret, Status},
    store::{KeyChange, Operation, PreviousChange, SecretChange},
    time::UnixTime,
    token::{GenerateError, Token},
};

impl Permit<Rotate> {
    /// Makes the key's next secret: a token to show once, and a [change](crate::store::KeyManagementStore::change) for
    /// a store.
    ///
    /// Grant and expiry stay the same.
    ///
    /// # Errors
    ///
    /// - [`RotateError::Revoked`], [`RotateError::Disabled`] or [`RotateError::Expired`]: only an active key is
    ///   rotated.
    /// - [`RotateError::InProgress`] if a previous secret is live and [`Rotation::Start`] was asked for.
    /// - [`RotateError::OverlapTooLong`] if the overlap is longer than the rules allow.
    /// - [`RotateError::Generate`] if the random generator does not work.
    /// - [`RotateError::Permit`] if the permit cannot be used.
    pub fn rotate(
        self,
        issuer: Issuer,
        rotation: Rotation,
        rules: &MintRules,
        randomness: &dyn Randomness,
        now: UnixTime,
    ) -> Result<MintedSecret, RotateError> {
        let (Rotate(record), used) = self.use_up(issuer, now)?;
        match record.status {
            Status::Revoked { .. } => return Err(RotateError::Revoked),
            Status::Disabled => return Err(RotateError::Disabled),
            Status::Active if record.validity.is_expired(now) => return Err(RotateError::Expired),
            Status::Active => {}
        }
        let previous = previous_after(&record, rotation, rules, now)?;
        let previous_ends_at = match previous {
            PreviousChange::Clear => None,
            PreviousChange::Keep => record.previous.map(|previous| previous.ends_at),
            PreviousChange::Set(previous) => Some(previous.ends_at),
        };
        let token = Token::generate_secret(issuer, record.kind(), record.id, randomness)?;
        let secrets = SecretChange::new(record.current, token.digest(), previous);
        let change = KeyChange::new(record.id, Operation::Rotate(secrets), used.draft(randomness)?);
        Ok(MintedSecret { token, change, previous_ends_at })
    }
}

fn previous_after(
    record: &KeyRecord,
    rotation: Rotation,
    rules: &MintRules,
    now: UnixTime,
) -> Result<PreviousChange, RotateError> {
    let overlap = match rotation {
        Rotation::CutOver => return Ok(PreviousChange::Clear),
        Rotation::Retry { overlap } | Rotation::Start { overlap } => overlap,
    };
    // Up, since rounding down would remove a short overlap.
    let overlap = Duration::from_secs(overlap.as_secs().saturating_add(u64::from(overlap.subsec_nanos() > 0)));
    if overlap > rules.max_overlap() {
        return Err(RotateError::OverlapTooLong);
    }
    match (rotation, record.live_previous(now)) {
        (Rotation::Retry { .. }, Some(_)) => Ok(PreviousChange::Keep),
        // No overlap is a cut-over.
        _ if overlap.is_zero() => Ok(PreviousChange::Clear),
        (Rotation::CutOver | Rotation::Start { .. }, Some(_)) => Err(RotateError::InProgress),
        (Rotation::CutOver | Rotation::Retry { .. } | Rotation::Start { .. }, None) => {
            let end = now.saturating_add(overlap);
            let ends_at = record.validity.expires_at().map_or(end, |expires_at| expires_at.min(end));
            Ok(PreviousChange::Set(PreviousSecret { digest: record.current, ends_at, last_used_at: None }))
        }
    }
}

/// Why a key cannot be rotated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The key is disabled.
    #[error("the key is disabled")]
    Disabled,
    /// The key has expired.
    #[error("the key is expired")]
    Expired,
    /// The random generator does not work.
    #[error("no secret could be made")]
    Generate(#[from] GenerateError),
    /// A previous secret is live.
    #[error("a rotation is in progress: its previous secret is still live")]
    InProgress,
    /// The previous secret would live on for longer than the service allows.
    #[error("the overlap is longer than the service allows")]
    OverlapTooLong,
    /// The permit cannot be used.
    #[error("the permit cannot be used")]
    Permit(#[from] PermitError),
    /// The key is revoked.
    #[error("the key is revoked")]
    Revoked,
}

impl RotateError {
    /// Returns the name used in logs, which is stable; `None` for a failure that refused nothing.
    ///
    /// ```
    /// assert_eq!(keygate::manage::RotateError::InProgress.as_str(), Some("rotation_in_progress"));
    /// ```
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Disabled => Some("disabled"),
            Self::Expired => Some("expired"),
            Self::Generate(_) => None,
            Self::InProgress => Some("rotation_in_progress"),
            Self::OverlapTooLong => Some("overlap_too_long"),
            Self::Permit(error) => error.as_str(),
            Self::Revoked => Some("revoked"),
        }
    }
}
