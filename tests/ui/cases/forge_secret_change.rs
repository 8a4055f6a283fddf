//! Only a permit makes a change of secrets.
use keygate::store::{PreviousChange, SecretChange, SecretDigest};

fn forge(expected: SecretDigest, current: SecretDigest) -> SecretChange {
    SecretChange { expected, current, previous: PreviousChange::Clear }
}

fn main() {}
