//! What is done with one row.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::sync::Arc;

use keygate::{Grant, KeyRecord, ModelScope, Owner, Permission, RecordParts, SecretDigest, Status};

pub(crate) fn record(row: RecordParts) -> Arc<KeyRecord> {
    Arc::new(row.try_into().unwrap())
}

pub(crate) const fn is_revoked(row: &RecordParts) -> bool {
    matches!(row.status, Status::Revoked { .. })
}

/// What a column for 28 bytes would give back: nobody knows of which algorithm they were.
pub(crate) fn as_token_digest(digest: SecretDigest) -> SecretDigest {
    let mut bytes = digest.to_bytes();
    bytes[0] = 1;
    SecretDigest::from_bytes(bytes).unwrap()
}

/// Keeps of a scope what a catalogue of models has, or everything if that would be nothing.
pub(crate) fn forget_models(grant: &mut Grant) {
    let Grant::Team { permission: Permission::InferenceOnly { models, .. }, .. } = grant else { return };
    let known = models.members().into_iter().flatten().filter(|model| model.as_str() == "model-0").cloned();
    if let Ok(known) = ModelScope::only(known) {
        *models = known;
    }
}

/// The id of an owner, of whichever kind.
pub(crate) fn owner_text(owner: &Owner) -> &str {
    match owner {
        Owner::Personal(user) => user.as_str(),
        Owner::Team(team) => team.as_str(),
    }
}
