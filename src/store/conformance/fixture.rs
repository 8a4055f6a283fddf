//! Keys to try a store with.
//!
//! Made of parts and not under a permit: the suite needs ids that differ only in case, and a store must not import what
//! stands above it. Each has the form that a minted key has: active, never used, without a previous secret.

use alloc::{format, string::String, vec::Vec};
use core::{iter::Cycle, slice};

use super::{
    change::{AT, Change},
    report::{Outcome, Violation},
    rule::Rule,
    sequence::Sequence,
};
use crate::{
    digest::{DigestAlgorithm, SecretDigest},
    grant::{Grant, Permission, Validity},
    id::{KeyId, KeyKind, ModelId, ResourceId},
    labels::Labels,
    membership::Incarnation,
    name::{EnvironmentName, Issuer, KeyName},
    own_action::ActionName,
    record::{Creator, KeyRecord, PreviousSecret, Status},
    scope::{EnvironmentScope, InvalidScope, ModelScope, ResourceScope},
    store::{Operation, PreviousChange, SecretChange},
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
pub(super) struct Keys {
    sequence: Sequence,
    names: u64,
    algorithms: Cycle<slice::Iter<'static, DigestAlgorithm>>,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        Self { sequence: Sequence::new(seed), names: 0, algorithms: DigestAlgorithm::ALL.iter().cycle() }
    }

    pub(super) fn id(&mut self) -> Outcome<KeyId> {
        let bytes = [self.sequence.draw(), self.sequence.draw()].concat();
        let symbols = bytes.iter().filter_map(|byte| SYMBOLS.get(usize::from(*byte % 62)));
        Ok(symbols.copied().map(char::from).collect::<String>().parse()?)
    }

    /// Of each algorithm in turn, so that a store that forgets it is found out.
    pub(super) fn digest(&mut self) -> SecretDigest {
        let algorithm = *self.algorithms.next().unwrap_or(&DigestAlgorithm::Native);
        self.digest_of(algorithm)
    }

    pub(super) fn digest_of(&mut self, algorithm: DigestAlgorithm) -> SecretDigest {
        let mut hash = [0; 32];
        for chunk in hash.chunks_mut(8) {
            chunk.copy_from_slice(&self.sequence.draw());
        }
        SecretDigest::truncated(hash, algorithm)
    }

    pub(super) fn name(&mut self) -> Outcome<KeyName> {
        self.names = self.names.wrapping_add(1);
        Ok(format!("key-{}", self.names).parse()?)
    }

    /// Labels that no other key has.
    pub(super) fn labels(&mut self) -> Outcome<Labels> {
        let name = self.name()?;
        labels([("serial", name.as_str()), ("team", "R&D")])
    }

    /// A key that no store holds yet.
    pub(super) fn key(&mut self, grant: Grant) -> Outcome<KeyRecord> {
        Ok(KeyRecord {
            issuer: Issuer::from_static("acme"),
            id: self.id()?,
            name: self.name()?,
            labels: self.labels()?,
            incarnation: (grant.kind() == KeyKind::Personal).then_some(Incarnation::new(7)),
            grant,
            created_at: CREATED_AT,
            created_by: Creator::System,
            validity: Validity::until(EXPIRES_AT),
            last_used_at: None,
            status: Status::Active,
            current: self.digest(),
            previous: None,
        })
    }

    /// A rotation of `key` whose previous secret is the current one, until the key expires.
    pub(super) fn rotation(&mut self, key: &KeyRecord) -> Change {
        let ends_at = key.validity.expires_at().unwrap_or(EXPIRES_AT);
        let previous = PreviousSecret { digest: key.current, ends_at, last_used_at: None };
        self.rotation_with(key, PreviousChange::Set(previous))
    }

    pub(super) fn rotation_with(&mut self, key: &KeyRecord, previous: PreviousChange) -> Change {
        Change::Make(Operation::Rotate(SecretChange::new(key.current, self.digest(), previous)), AT)
    }

    /// An upgrade of the digest of `key`; the previous secret stays.
    pub(super) fn upgrade(&mut self, key: &KeyRecord) -> Change {
        Change::Make(Operation::Upgrade(SecretChange::new(key.current, self.digest(), PreviousChange::Keep)), AT)
    }
}

/// The same bytes of another algorithm: another digest.
pub(super) fn relabelled(digest: SecretDigest) -> SecretDigest {
    let [_, hash @ ..] = digest.to_bytes();
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash).for_each(|(place, byte)| *place = byte);
    let is_native = digest.algorithm() == DigestAlgorithm::Native;
    SecretDigest::truncated(bytes, if is_native { DigestAlgorithm::LegacySha512 } else { DigestAlgorithm::Native })
}

const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub(super) fn personal(user: &str) -> Outcome<Grant> {
    Ok(Grant::personal(user.parse()?))
}

pub(super) fn team(team: &str) -> Outcome<Grant> {
    let permission = Permission::full(EnvironmentScope::All);
    Ok(Grant::team(team.parse()?, permission))
}

pub(super) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Outcome<Labels> {
    let mut labels = Vec::new();
    for (name, value) in pairs {
        labels.push((name.parse()?, value.parse()?));
    }
    Labels::new(labels).map_err(|error| Violation::failure("the suite itself", &error))
}

pub(super) fn validity(not_before: Option<UnixTime>, expires_at: Option<UnixTime>) -> Outcome<Validity> {
    Validity::new(not_before, expires_at).map_err(|error| Violation::failure("the suite itself", &error))
}

/// Every shape that a grant can have, to `owner` where it is a team's.
pub(super) fn grants(owner: &str) -> Outcome<Vec<Grant>> {
    let two_environments = || environments(&["production", "staging-2"]);
    let custom = |actions: &[&str], environments, resources| -> Outcome<Permission> {
        let actions: Vec<ActionName> = actions.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Permission::custom(actions, environments, resources).map_err(out_of_scope)
    };
    let permissions = [
        Permission::full(EnvironmentScope::All),
        Permission::full(two_environments()?),
        Permission::inference_only(EnvironmentScope::All, ModelScope::All),
        Permission::inference_only(two_environments()?, ModelScope::All),
        Permission::inference_only(EnvironmentScope::All, models(1)?),
        Permission::inference_only(environments(&["production"])?, models(3)?),
        Permission::inference_only(two_environments()?, models(LARGE_SCOPE)?),
        Permission::metrics_only(ModelScope::All),
        Permission::metrics_only(models(2)?),
        custom(&["projects:read"], EnvironmentScope::All, ResourceScope::All)?,
        custom(&["projects:read", "call", "a_b:c-d:0"], two_environments()?, resources(3)?)?,
        custom(&["call"], environments(&["development"])?, ResourceScope::All)?,
        custom(&["files:write"], EnvironmentScope::All, resources(LARGE_SCOPE)?)?,
    ];
    let mut grants = Vec::from([personal("ada")?]);
    for permission in permissions {
        grants.push(Grant::team(owner.parse()?, permission));
    }
    Ok(grants)
}

fn environments(names: &[&str]) -> Outcome<EnvironmentScope> {
    let names: Vec<EnvironmentName> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    EnvironmentScope::only(names).map_err(out_of_scope)
}

fn models(count: usize) -> Outcome<ModelScope> {
    let ids: Vec<ModelId> = spellings("model", count).map(|text| text.parse()).collect::<Result<_, _>>()?;
    ModelScope::only(ids).map_err(out_of_scope)
}

fn resources(count: usize) -> Outcome<ResourceScope> {
    let ids: Vec<ResourceId> = spellings("resource", count).map(|text| text.parse()).collect::<Result<_, _>>()?;
    ResourceScope::only(ids).map_err(out_of_scope)
}

/// Texts, some of which differ only in case or hold what SQL and JSON must escape.
fn spellings(what: &str, count: usize) -> impl Iterator<Item = String> + '_ {
    let spelled = move |number| {
        [
            format!("{what}-{number}"),
            format!("M{what}-{number}"),
            format!("m{what}-{number}"),
            format!("m'{number}\",\\%_[{{}}]"),
        ]
    };
    (0_usize..).flat_map(spelled).take(count)
}

fn out_of_scope(error: InvalidScope) -> Violation {
    Violation::failure("the suite itself", &error)
}

/// The names of the columns in which two records differ.
pub(super) fn differences(expected: &KeyRecord, found: &KeyRecord) -> Vec<&'static str> {
    // Destructured, so that a new column breaks the build here and is compared.
    let KeyRecord {
        issuer,
        id,
        name,
        labels,
        grant,
        incarnation,
        created_at,
        created_by,
        validity,
        last_used_at,
        status,
        current,
        previous,
    } = expected;
    let columns = [
        ("issuer", *issuer == found.issuer),
        ("id", *id == found.id),
        ("name", *name == found.name),
        ("labels", *labels == found.labels),
        ("grant", *grant == found.grant),
        ("incarnation", *incarnation == found.incarnation),
        ("created_at", *created_at == found.created_at),
        ("created_by", *created_by == found.created_by),
        ("not_before", validity.not_before() == found.validity.not_before()),
        ("expires_at", validity.expires_at() == found.validity.expires_at()),
        ("last_used_at", *last_used_at == found.last_used_at),
        ("status", *status == found.status),
        ("current", *current == found.current),
        ("previous", *previous == found.previous),
    ];
    columns.iter().filter(|(_, is_equal)| !is_equal).map(|(column, _)| *column).collect()
}

/// The rule that is broken where a record differs that was not altered: labels and scopes have rules of their own.
pub(super) fn rule_of_difference(expected: &KeyRecord, found: &KeyRecord) -> Rule {
    if expected.grant != found.grant && expected.grant.owner() == found.grant.owner() {
        Rule::ScopesKept
    } else if expected.labels != found.labels {
        Rule::LabelsKept
    } else {
        Rule::RoundTrip
    }
}

/// More members than fit a short column, or one statement with a parameter for each.
const LARGE_SCOPE: usize = 2_000;
