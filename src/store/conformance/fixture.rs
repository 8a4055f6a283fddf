//! Keys to try a store with.
//!
//! Made of parts and not under a permit: the suite needs ids that differ only in case, and a store must not import what
//! stands above it. Each has the form that a minted key has: active, never used, without a previous secret.

use alloc::{format, string::String, vec::Vec};
use core::{iter::Cycle, slice};

use super::{
    change::Change,
    report::{Outcome, Violation},
    rule::Rule,
};
use crate::{
    digest::{DigestAlgorithm, SecretDigest},
    grant::{Grant, Permission},
    id::{KeyId, ModelId},
    name::{EnvironmentName, KeyName},
    record::{Creator, KeyRecord, NewKey, PreviousChange, PreviousSecret, RecordParts, Status},
    scope::{EnvironmentScope, InvalidScope, ModelScope},
    time::UnixTime,
};

/// When keys are created, unless a check says otherwise.
pub(super) const CREATED_AT: UnixTime = UnixTime::from_secs(1_750_000_000);
/// When keys expire, if they do.
pub(super) const EXPIRES_AT: UnixTime = later(10_000);

/// The time `seconds` after [`CREATED_AT`].
pub(super) const fn later(seconds: u64) -> UnixTime {
    CREATED_AT.saturating_add(core::time::Duration::from_secs(seconds))
}

/// A source of ids, digests and names that do not repeat.
///
/// splitmix64 (Steele, Lea, Flood 2014) from a fixed start: a violation looks the same in every run. Nothing here is
/// secret, and no token belongs to these digests.
pub(super) struct Keys {
    state: u64,
    names: u64,
    algorithms: Cycle<slice::Iter<'static, DigestAlgorithm>>,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, names: 0, algorithms: DigestAlgorithm::ALL.iter().cycle() }
    }

    fn draw(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }

    pub(super) fn id(&mut self) -> Outcome<KeyId> {
        let bytes = [self.draw(), self.draw()].concat();
        let symbols = bytes.iter().filter_map(|byte| SYMBOLS.get(usize::from(*byte % 62)));
        Ok(symbols.copied().map(char::from).collect::<String>().parse()?)
    }

    /// Of each algorithm in turn, so that a store that forgets it is found out.
    pub(super) fn digest(&mut self) -> SecretDigest {
        let mut hash = [0; 32];
        for chunk in hash.chunks_mut(8) {
            for (byte, drawn) in chunk.iter_mut().zip(self.draw()) {
                *byte = drawn;
            }
        }
        let algorithm = self.algorithms.next().unwrap_or(&DigestAlgorithm::Native);
        SecretDigest::truncated(hash, *algorithm)
    }

    pub(super) fn name(&mut self) -> Outcome<KeyName> {
        self.names = self.names.wrapping_add(1);
        Ok(format!("key-{}", self.names).parse()?)
    }

    /// A key that no store holds yet.
    pub(super) fn key(&mut self, grant: Grant) -> Outcome<RecordParts> {
        Ok(RecordParts {
            id: self.id()?,
            name: self.name()?,
            grant,
            created_at: CREATED_AT,
            created_by: Creator::System,
            not_before: None,
            expires_at: Some(EXPIRES_AT),
            last_used_at: None,
            status: Status::Active,
            current: self.digest(),
            previous: None,
        })
    }

    /// A rotation of `key` whose previous secret is the current one, until the key expires.
    pub(super) fn rotation(&mut self, key: &RecordParts) -> Change {
        let previous = PreviousSecret { digest: key.current, ends_at: key.expires_at.unwrap_or(EXPIRES_AT) };
        self.rotation_with(key, PreviousChange::Set(previous))
    }

    pub(super) fn rotation_with(&mut self, key: &RecordParts, previous: PreviousChange) -> Change {
        Change::Rotate { expected: key.current, current: self.digest(), previous }
    }
}

/// The same bytes of another algorithm: another digest.
pub(super) fn relabelled(digest: SecretDigest) -> SecretDigest {
    let [_, hash @ ..] = digest.to_bytes();
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash).for_each(|(place, byte)| *place = byte);
    let is_token = digest.algorithm() == DigestAlgorithm::Native;
    SecretDigest::truncated(bytes, if is_token { DigestAlgorithm::LegacySha512 } else { DigestAlgorithm::Native })
}

const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Makes what `insert` takes.
pub(super) fn new_key(parts: &RecordParts) -> Outcome<NewKey> {
    let record = KeyRecord::try_from(parts.clone());
    Ok(NewKey::new(record.map_err(|error| Violation::failure("the suite itself", &error))?))
}

pub(super) fn personal(user: &str) -> Outcome<Grant> {
    Ok(Grant::Personal { user: user.parse()? })
}

pub(super) fn team(team: &str) -> Outcome<Grant> {
    let permission = Permission::Full { environments: EnvironmentScope::All };
    Ok(Grant::Team { team: team.parse()?, permission })
}

/// Every shape that a grant can have, to `owner` where it is a team's.
pub(super) fn grants(owner: &str) -> Outcome<Vec<Grant>> {
    let two_environments = || environments(&["production", "staging-2"]);
    let permissions = [
        Permission::Full { environments: EnvironmentScope::All },
        Permission::Full { environments: two_environments()? },
        Permission::InferenceOnly { environments: EnvironmentScope::All, models: ModelScope::All },
        Permission::InferenceOnly { environments: two_environments()?, models: ModelScope::All },
        Permission::InferenceOnly { environments: EnvironmentScope::All, models: models(1)? },
        Permission::InferenceOnly { environments: environments(&["production"])?, models: models(3)? },
        Permission::InferenceOnly { environments: two_environments()?, models: models(LARGE_SCOPE)? },
        Permission::MetricsOnly { models: ModelScope::All },
        Permission::MetricsOnly { models: models(2)? },
    ];
    let mut grants = Vec::from([personal("ada")?]);
    for permission in permissions {
        grants.push(Grant::Team { team: owner.parse()?, permission });
    }
    Ok(grants)
}

fn environments(names: &[&str]) -> Outcome<EnvironmentScope> {
    let names: Vec<EnvironmentName> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    EnvironmentScope::only(names).map_err(out_of_scope)
}

/// A scope of `count` models, some of whose names differ only in case or hold what SQL and JSON must escape.
fn models(count: usize) -> Outcome<ModelScope> {
    let spellings = (0_usize..)
        .flat_map(|number| [format!("model-{number}"), format!("Model-{number}"), format!("m'{number}\",\\%_[{{}}]")]);
    let ids: Vec<ModelId> = spellings.take(count).map(|text| text.parse()).collect::<Result<_, _>>()?;
    ModelScope::only(ids).map_err(out_of_scope)
}

fn out_of_scope(error: InvalidScope) -> Violation {
    Violation::failure("the suite itself", &error)
}

/// The names of the columns in which two records differ.
pub(super) fn differences(expected: &RecordParts, found: &RecordParts) -> Vec<&'static str> {
    // Destructured, so that a new column breaks the build here and is compared.
    let RecordParts {
        id,
        name,
        grant,
        created_at,
        created_by,
        not_before,
        expires_at,
        last_used_at,
        status,
        current,
        previous,
    } = expected;
    let columns = [
        ("id", *id == found.id),
        ("name", *name == found.name),
        ("grant", *grant == found.grant),
        ("created_at", *created_at == found.created_at),
        ("created_by", *created_by == found.created_by),
        ("not_before", *not_before == found.not_before),
        ("expires_at", *expires_at == found.expires_at),
        ("last_used_at", *last_used_at == found.last_used_at),
        ("status", *status == found.status),
        ("current", *current == found.current),
        ("previous", *previous == found.previous),
    ];
    columns.iter().filter(|(_, is_equal)| !is_equal).map(|(column, _)| *column).collect()
}

/// The rule that is broken where a record differs that nobody altered: scopes have one of their own.
pub(super) fn rule_of_difference(expected: &RecordParts, found: &RecordParts) -> Rule {
    if expected.grant != found.grant && expected.grant.owner() == found.grant.owner() {
        Rule::ScopesKept
    } else {
        Rule::RoundTrip
    }
}

/// More models than fit a short column, or one statement with a parameter for each.
const LARGE_SCOPE: usize = 2_000;
