//! Keys to measure with: made by the code that makes them in earnest, the same in each run.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use std::sync::Mutex;

use keygate::{
    Grant, Issuer, Labels, System, UnixTime, Validity,
    manage::{Acting, Create, MintRules, Minted, authorize_operation},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

pub(crate) const KG: Issuer = Issuer::from_static("kg");
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

/// A generator that repeats itself: each seed has its own keys.
pub(crate) fn generator(seed: u8) -> Mutex<ChaCha20Rng> {
    Mutex::new(ChaCha20Rng::from_seed([seed; 32]))
}

pub(crate) fn mint(grant: Grant) -> Minted {
    let system = System::new("a benchmark").unwrap();
    let create = Create { grant, validity: Validity::NEVER_EXPIRES };
    let permit = authorize_operation(KG, Acting::System(&system), create, None, NOW).unwrap();
    let name = ("a-key".parse().unwrap(), Labels::NONE);
    let rules = MintRules::new().with_max_scope_members(usize::MAX);
    permit.issue(KG, name, &rules, &generator(1), NOW).unwrap()
}
