//! Keys made to order, the way a service makes them: issue, store, change, find, verify.

use core::{error::Error, str::FromStr};
use std::sync::Arc;

use keygate::{
    Actor, Create, Disable, EnvironmentScope, Gate, Grant, Issuer, KeyManager, KeyRecord, KeyStore, MatchedKey,
    MemoryStore, ModelScope, Owner, Permission, Revoke, Status, SysRng, System, Token, UnixTime, Validity,
    authorize_operation,
};

use crate::line::{KeyLine, LevelName, OwnerLine, StatusName};

/// A key as a line asks for it, its grant checked.
pub(crate) struct WantedKey {
    status: StatusName,
    validity: Validity,
    grant: Grant,
}

/// The line is well-typed, but no key can be like that.
pub(crate) struct InvalidGrant;

impl OwnerLine {
    pub(crate) fn read(&self) -> Option<Owner> {
        match self {
            Self::Personal { user } => user.parse().ok().map(Owner::Personal),
            Self::Team { team } => team.parse().ok().map(Owner::Team),
        }
    }
}

impl KeyLine {
    /// Returns nothing if the owner is none, and an error if the grant cannot be.
    pub(crate) fn read(self) -> Option<Result<WantedKey, InvalidGrant>> {
        let owner = self.owner.as_ref().read()?;
        Some(self.wanted(owner))
    }

    fn wanted(self, owner: Owner) -> Result<WantedKey, InvalidGrant> {
        let Self { status, not_before, expires_at, level, environments, models, .. } = self;
        let time = |seconds: Option<i64>| seconds.map(UnixTime::from_secs);
        let validity = Validity::new(time(not_before), time(expires_at)).map_err(|_| InvalidGrant)?;
        let grant = match (owner, level, environments, models) {
            (Owner::Personal(user), None, None, None) => Grant::Personal { user },
            (Owner::Team(team), Some(level), environments, models) => {
                Grant::Team { team, permission: permission(level, environments, models)? }
            }
            (Owner::Personal(_), ..) | (Owner::Team(_), None, ..) => return Err(InvalidGrant),
        };
        Ok(WantedKey { status, validity, grant })
    }
}

fn permission(
    level: LevelName,
    environments: Option<Vec<String>>,
    models: Option<Vec<String>>,
) -> Result<Permission, InvalidGrant> {
    let is_restricted = (environments.is_some(), models.is_some());
    let environments = environments
        .map_or(Ok(EnvironmentScope::All), |names| EnvironmentScope::only(parsed(&names)?).map_err(|_| InvalidGrant))?;
    let models = models.map_or(Ok(ModelScope::All), |ids| ModelScope::only(parsed(&ids)?).map_err(|_| InvalidGrant))?;
    match (level, is_restricted) {
        (LevelName::Full, (_, false)) => Ok(Permission::Full { environments }),
        (LevelName::InferenceOnly, _) => Ok(Permission::InferenceOnly { environments, models }),
        (LevelName::MetricsOnly, (false, _)) => Ok(Permission::MetricsOnly { models }),
        (LevelName::Full, (_, true)) | (LevelName::MetricsOnly, (true, _)) => Err(InvalidGrant),
    }
}

fn parsed<T: FromStr>(texts: &[String]) -> Result<Vec<T>, InvalidGrant> {
    texts.iter().map(|text| text.parse().map_err(|_| InvalidGrant)).collect()
}

/// A grant of no importance: what is managed is looked at for its owner only.
pub(crate) fn some_grant(owner: Owner) -> Grant {
    match owner {
        Owner::Personal(user) => Grant::Personal { user },
        Owner::Team(team) => Grant::Team { team, permission: Permission::Full { environments: EnvironmentScope::All } },
    }
}

/// Where keys are made.
pub(crate) struct Workshop {
    operator: System,
}

impl Workshop {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self { operator: System::new("conformance")? })
    }

    /// Makes the key and presents its token.
    pub(crate) fn verified(&self, wanted: WantedKey) -> Result<MatchedKey, Box<dyn Error>> {
        let WantedKey { status, validity, grant } = wanted;
        let manager = KeyManager::new(ISSUER, MemoryStore::new());
        let (token, record) = self.create(&manager, grant, validity)?;
        match status {
            StatusName::Active => {}
            StatusName::Disabled => {
                let permit = authorize_operation(&self.actor(), Disable(record), None, CREATED_AT)?;
                pollster::block_on(manager.disable(permit, CREATED_AT))?;
            }
            StatusName::Revoked => {
                let permit = authorize_operation(&self.actor(), Revoke(record), None, CREATED_AT)?;
                pollster::block_on(manager.revoke(permit, CREATED_AT))?;
            }
        }
        let gate = Gate::new(ISSUER);
        let key = gate.authenticate(manager.store(), token.expose_secret(), CREATED_AT);
        Ok(pollster::block_on(key)??)
    }

    /// Makes a key of no importance.
    pub(crate) fn some_record(&self, grant: Grant) -> Result<KeyRecord, Box<dyn Error>> {
        let manager = KeyManager::new(ISSUER, MemoryStore::new());
        let (_, record) = self.create(&manager, grant, Validity::NEVER_EXPIRES)?;
        debug_assert_eq!(record.status(), Status::Active);
        Ok(Arc::unwrap_or_clone(record))
    }

    fn create(
        &self,
        manager: &KeyManager<MemoryStore>,
        grant: Grant,
        validity: Validity,
    ) -> Result<(Token, Arc<KeyRecord>), Box<dyn Error>> {
        let permit = authorize_operation(&self.actor(), Create(grant), None, CREATED_AT)?;
        let issued = pollster::block_on(manager.create(permit, "key".parse()?, validity, &mut SysRng, CREATED_AT))?;
        let record = pollster::block_on(manager.store().find(issued.token.id()))?;
        Ok((issued.token, record.ok_or("a stored key is found")?))
    }

    fn actor(&self) -> Actor<'static> {
        Actor::System(self.operator.clone())
    }
}

const CREATED_AT: UnixTime = UnixTime::from_secs(0);
const ISSUER: Issuer = Issuer::from_static("kg");
