//! Keys to look at, made through keygate's public API.

use std::sync::{Arc, Mutex};

use keygate::{
    EnvironmentScope, Grant, Issuer, KeyId, KeyRecord, Labels, Permission, System, UnixTime, Validity,
    manage::{Acting, Create, MintRules, Minted, authorize_operation},
    store::{PreviousSecret, RecordParts, SecretDigest},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub const KG: Issuer = Issuer::from_static("kg");
pub const NOW: UnixTime = UnixTime::from_secs(100);

/// A generator that repeats itself.
pub fn generator(seed: u8) -> Mutex<ChaCha20Rng> {
    Mutex::new(ChaCha20Rng::from_seed([seed; 32]))
}

/// A new key; equal seeds give equal keys.
pub fn issued(seed: u8) -> Minted {
    let system = System::new("a test").expect("a reason");
    let permission = Permission::full(EnvironmentScope::All);
    let grant = Grant::team("core".parse().expect("a team"), permission);
    let create = Create { grant, validity: Validity::NEVER_EXPIRES };
    let permit = authorize_operation(KG, Acting::System(&system), create, None, NOW).expect("the system may");
    let (name, rules) = ("a-key".parse().expect("a name"), MintRules::new());
    permit.issue(KG, (name, Labels::NONE), &rules, &generator(seed), NOW).expect("a key")
}

/// Its record, with other secrets.
pub fn record(issued: &Minted, current: SecretDigest, previous: Option<SecretDigest>) -> Arc<KeyRecord> {
    record_of(issued.key.record().id(), issued, current, previous)
}

/// Its record, with another id and other secrets.
pub fn record_of(id: KeyId, issued: &Minted, current: SecretDigest, previous: Option<SecretDigest>) -> Arc<KeyRecord> {
    let ends_at = UnixTime::from_secs(200);
    let parts = RecordParts {
        id,
        current,
        previous: previous.map(|digest| PreviousSecret { digest, ends_at, last_used_at: None }),
        ..issued.key.record().clone().into()
    };
    Arc::new(parts.try_into().expect("a record"))
}
