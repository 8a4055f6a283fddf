//! Keys made to order: the parts of a record with a generated token's digest, and the token verified.

use core::{error::Error, str::FromStr};
use std::sync::Arc;

use keygate::{
    EnvironmentScope, Grant, Issuer, KeyRecord, Labels, ModelScope, Owner, Permission, ResourceScope, RevocationCause,
    Scope, Status, SystemRandomness, Token, UnixTime, Validity,
    store::{Creator, RecordParts},
    verify::{MatchedKey, UnverifiedToken, verify},
};

use crate::line::{KeyLine, LevelName, OwnerLine, StatusName, TargetLine};

/// A key as a line asks for it, its grant checked.
pub(crate) struct WantedKey {
    status: StatusName,
    validity: Validity,
    grant: Grant,
}

/// The line is well-typed, but describes an impossible key.
pub(crate) struct InvalidGrant;

impl OwnerLine {
    pub(crate) fn read(&self) -> Option<Owner> {
        match self {
            Self::Personal { user } => user.parse().ok().map(Owner::Personal),
            Self::Team { team } => team.parse().ok().map(Owner::Team),
        }
    }
}

/// The key to create, list or change: its permission decides nothing about managing it.
pub(crate) struct Target {
    pub(crate) grant: Grant,
    pub(crate) validity: Validity,
}

impl TargetLine {
    pub(crate) fn read(&self) -> Option<Target> {
        let (grant, expires_at) = match self {
            Self::Personal { user, expires_at } => (Grant::personal(user.parse().ok()?), expires_at),
            Self::Team { team, expires_at } => {
                (Grant::team(team.parse().ok()?, Permission::full(EnvironmentScope::All)), expires_at)
            }
        };
        let validity = expires_at.map_or(Validity::NEVER_EXPIRES, |end| Validity::until(UnixTime::from_secs(end)));
        Some(Target { grant, validity })
    }
}

impl KeyLine {
    /// Returns nothing if the owner is malformed, and an error if the grant is impossible.
    pub(crate) fn read(self) -> Option<Result<WantedKey, InvalidGrant>> {
        let owner = self.owner.as_ref().read()?;
        Some(self.wanted(owner))
    }

    fn wanted(self, owner: Owner) -> Result<WantedKey, InvalidGrant> {
        let Self { status, not_before, expires_at, owner: _, level, environments, models, actions, resources } = self;
        let time = |seconds: Option<i64>| seconds.map(UnixTime::from_secs);
        let validity = Validity::new(time(not_before), time(expires_at)).map_err(|_| InvalidGrant)?;
        let lists = Lists { environments, models, actions, resources };
        let grant = match (owner, level) {
            (Owner::Personal(user), None) if lists.are_absent() => Grant::personal(user),
            (Owner::Team(team), Some(level)) => Grant::team(team, lists.permission(level)?),
            _ => return Err(InvalidGrant),
        };
        Ok(WantedKey { status, validity, grant })
    }
}

/// The restrictions of a team key; a null is no restriction.
struct Lists {
    environments: Option<Vec<String>>,
    models: Option<Vec<String>>,
    actions: Option<Vec<String>>,
    resources: Option<Vec<String>>,
}

impl Lists {
    const fn are_absent(&self) -> bool {
        let Self { environments, models, actions, resources } = self;
        environments.is_none() && models.is_none() && actions.is_none() && resources.is_none()
    }

    fn permission(self, level: LevelName) -> Result<Permission, InvalidGrant> {
        match (level, self) {
            (LevelName::Custom, Self { environments, models: None, actions: Some(actions), resources }) => {
                let (environments, resources): (EnvironmentScope, ResourceScope) =
                    (scope(environments)?, scope(resources)?);
                Permission::custom(parsed(&actions)?, environments, resources).map_err(|_| InvalidGrant)
            }
            (LevelName::Full, Self { environments, models: None, actions: None, resources: None }) => {
                Ok(Permission::full(scope(environments)?))
            }
            (LevelName::InferenceOnly, Self { environments, models, actions: None, resources: None }) => {
                let models: ModelScope = scope(models)?;
                Ok(Permission::inference_only(scope(environments)?, models))
            }
            (LevelName::MetricsOnly, Self { environments: None, models, actions: None, resources: None }) => {
                Ok(Permission::metrics_only(scope(models)?))
            }
            _ => Err(InvalidGrant),
        }
    }
}

fn scope<T: FromStr + AsRef<str> + Ord>(members: Option<Vec<String>>) -> Result<Scope<T>, InvalidGrant> {
    members.map_or(Ok(Scope::All), |members| Scope::only(parsed(&members)?).map_err(|_| InvalidGrant))
}

fn parsed<T: FromStr>(texts: &[String]) -> Result<Vec<T>, InvalidGrant> {
    texts.iter().map(|text| text.parse().map_err(|_| InvalidGrant)).collect()
}

/// Makes the key and presents its token.
pub(crate) fn matched(wanted: WantedKey) -> Result<MatchedKey, Box<dyn Error>> {
    matched_with_record(wanted).map(|(key, _)| key)
}

/// Makes the key, presents its token, and also returns the record that would be stored.
pub(crate) fn matched_with_record(wanted: WantedKey) -> Result<(MatchedKey, Arc<KeyRecord>), Box<dyn Error>> {
    let WantedKey { status, validity, grant } = wanted;
    let status = match status {
        StatusName::Active => Status::Active,
        StatusName::Disabled => Status::Disabled,
        StatusName::Revoked => Status::Revoked { at: CREATED_AT, cause: RevocationCause::Requested },
    };
    let (token, record) = made(grant, validity, status)?;
    let presented = UnverifiedToken::parse(ISSUER, token.expose_secret())?;
    Ok((verify(&presented, Some(Arc::clone(&record)), CREATED_AT)?, record))
}

/// Makes an active key that nobody presents.
pub(crate) fn some_record(grant: Grant, validity: Validity) -> Result<Arc<KeyRecord>, Box<dyn Error>> {
    made(grant, validity, Status::Active).map(|(_, record)| record)
}

fn made(grant: Grant, validity: Validity, status: Status) -> Result<(Token, Arc<KeyRecord>), Box<dyn Error>> {
    let token = Token::generate(ISSUER, grant.kind(), &SystemRandomness)?;
    let record = KeyRecord::try_from(RecordParts {
        issuer: ISSUER,
        id: token.id(),
        name: "key".parse()?,
        labels: Labels::NONE,
        grant,
        incarnation: None,
        created_at: CREATED_AT,
        created_by: Creator::System,
        not_before: validity.not_before(),
        expires_at: validity.expires_at(),
        last_used_at: None,
        status,
        current: token.digest(),
        previous: None,
    })?;
    Ok((token, Arc::new(record)))
}

const CREATED_AT: UnixTime = UnixTime::from_secs(0);
/// Managing is asked about keys of one issuer only.
pub(crate) const ISSUER: Issuer = Issuer::from_static("kg");
