//! What is done with one row.

use std::sync::Arc;

use keygate::{
    EnvironmentScope, Grant, KeyRecord, Labels, ModelScope, Owner, Permission, ResourceScope, Status,
    store::{RecordParts, SecretDigest},
};

pub(crate) fn record(row: RecordParts) -> Arc<KeyRecord> {
    Arc::new(row.try_into().unwrap())
}

pub(crate) const fn is_revoked(row: &RecordParts) -> bool {
    matches!(row.status, Status::Revoked { .. })
}

/// What a column for 28 bytes would give back: it does not say of which algorithm they are.
pub(crate) fn as_native_digest(digest: SecretDigest) -> SecretDigest {
    let mut bytes = digest.to_bytes();
    bytes[0] = 1;
    SecretDigest::from_bytes(bytes).unwrap()
}

/// Keeps of a scope what a catalogue of models has, or everything if that would be nothing.
pub(crate) fn forget_models(grant: &mut Grant) {
    let Grant::Team { permission, .. } = grant else { return };
    let Permission::InferenceOnly { models, environments, .. } = permission else { return };
    let known = models.members().into_iter().flatten().filter(|model| model.as_str() == "model-0").cloned();
    if let Ok(known) = ModelScope::only(known) {
        *permission = Permission::inference_only(environments.clone(), known);
    }
}

/// Keeps of a custom permission the actions alone, as a table without columns for what restricts them.
pub(crate) fn forget_resources(grant: &mut Grant) {
    let Grant::Team { permission, .. } = grant else { return };
    let Some(actions) = permission.actions().cloned() else { return };
    let environments: EnvironmentScope = permission.environments().clone();
    *permission = Permission::custom(actions.iter().cloned(), environments, ResourceScope::All).unwrap();
}

/// Labels as a store keeps them that takes an empty value for none.
pub(crate) fn without_empty_values(labels: &Labels) -> Labels {
    let kept = labels.iter().filter(|(_, value)| !value.as_str().is_empty());
    Labels::new(kept.map(|(name, value)| (name.clone(), value.clone()))).unwrap()
}

/// The id of an owner, of whichever kind.
pub(crate) fn owner_text(owner: &Owner) -> String {
    owner.to_string().split_once(':').unwrap().1.to_owned()
}
