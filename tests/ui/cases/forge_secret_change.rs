//! Only a permit makes a change of secrets.
use keygate::{KeyId, PreviousChange, SecretChange, SecretDigest};

fn forge(id: KeyId, expected: SecretDigest, current: SecretDigest) -> SecretChange {
    SecretChange { id, expected, current, previous: PreviousChange::Clear }
}

fn main() {}
