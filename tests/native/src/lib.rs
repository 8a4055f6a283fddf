//! Keys to look at, made through keygate's public API.

use std::sync::Arc;

use keygate::{
    Actor, Create, EnvironmentScope, Grant, Issued, Issuer, KeyId, KeyRecord, Permission, PreviousSecret, RecordParts,
    SecretDigest, System, UnixTime, Validity, authorize_operation,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub const KG: Issuer = Issuer::from_static("kg");
pub const NOW: UnixTime = UnixTime::from_secs(100);

/// A new key; equal seeds give equal keys.
pub fn issued(seed: u8) -> Issued {
    let system = Actor::System(System::new("a test").expect("a reason"));
    let permission = Permission::Full { environments: EnvironmentScope::All };
    let grant = Grant::Team { team: "core".parse().expect("a team"), permission };
    let permit = authorize_operation(&system, Create(grant), None, NOW).expect("the system may");
    let name = "a-key".parse().expect("a name");
    permit.issue(KG, name, Validity::NEVER_EXPIRES, &mut ChaCha20Rng::from_seed([seed; 32]), NOW).expect("a key")
}

/// Its record, with other secrets.
pub fn record(issued: &Issued, current: SecretDigest, previous: Option<SecretDigest>) -> Arc<KeyRecord> {
    record_of(issued.key.record().id(), issued, current, previous)
}

/// Its record, with another id and other secrets.
pub fn record_of(id: KeyId, issued: &Issued, current: SecretDigest, previous: Option<SecretDigest>) -> Arc<KeyRecord> {
    let ends_at = UnixTime::from_secs(200);
    let parts = RecordParts {
        id,
        current,
        previous: previous.map(|digest| PreviousSecret { digest, ends_at }),
        ..issued.key.record().clone().into()
    };
    Arc::new(parts.try_into().expect("a record"))
}
