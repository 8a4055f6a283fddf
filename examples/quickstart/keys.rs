//! One key of every sort, made by the service itself.

use core::error::Error;
use std::{collections::BTreeMap, sync::Arc};

use keygate::{
    Actor, Create, Disable, EnvironmentScope, Grant, Issuer, KeyManager, KeyRecord, KeyStore, MemoryStore, ModelScope,
    Permission, Revoke, Rotate, Rotation, SysRng, System, Token, UnixTime, Validity, authorize_operation,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// The keys by the names that the table uses, and their tokens as their holders got them.
pub(crate) struct Keys {
    pub(crate) manager: KeyManager<MemoryStore>,
    system: System,
    tokens: BTreeMap<&'static str, Token>,
}

impl Keys {
    pub(crate) async fn create(now: UnixTime) -> Result<Self, Box<dyn Error>> {
        let mut keys = Self {
            manager: KeyManager::new(ACME, MemoryStore::new()),
            system: System::new("quick start")?,
            tokens: BTreeMap::new(),
        };
        let production = || EnvironmentScope::only(["production".parse().ok()].into_iter().flatten());
        let both = EnvironmentScope::only(["production".parse()?, "staging".parse()?])?;
        let one_model = ModelScope::only(["abcd1234".parse()?])?;
        let inference = |environments, models| Permission::InferenceOnly { environments, models };

        keys.add("personal", Grant::Personal { user: "ada".parse()? }, Validity::NEVER_EXPIRES, now).await?;
        for (name, permission) in [
            ("full", Permission::Full { environments: EnvironmentScope::All }),
            ("full-production", Permission::Full { environments: production()? }),
            ("inference", inference(EnvironmentScope::All, ModelScope::All)),
            ("inference-prod-staging", inference(both, ModelScope::All)),
            ("inference-one-model", inference(production()?, one_model)),
            ("metrics", Permission::MetricsOnly { models: ModelScope::All }),
            ("revoked", Permission::Full { environments: EnvironmentScope::All }),
            ("disabled", Permission::Full { environments: EnvironmentScope::All }),
        ] {
            keys.add(name, team_grant(permission)?, Validity::NEVER_EXPIRES, now).await?;
        }
        let full = Permission::Full { environments: EnvironmentScope::All };
        keys.add("expired", team_grant(full)?, Validity::until(now), now).await?;
        Ok(keys)
    }

    async fn add(
        &mut self,
        name: &'static str,
        grant: Grant,
        validity: Validity,
        now: UnixTime,
    ) -> Result<(), Box<dyn Error>> {
        let permit = authorize_operation(&self.actor(), Create(grant), None, now)?;
        let issued = self.manager.create(permit, name.parse()?, validity, &mut SysRng, now).await?;
        self.tokens.insert(name, issued.token);
        Ok(())
    }

    /// Changes the keys whose names say what is wrong with them, and returns the secret that was rotated out.
    pub(crate) async fn spoil(&mut self, now: UnixTime) -> Result<Token, Box<dyn Error>> {
        self.revoke("revoked", now).await?;
        let permit = authorize_operation(&self.actor(), Disable(self.record("disabled").await?), None, now)?;
        self.manager.disable(permit, now).await?;
        self.rotate("full", Rotation::CutOver, now).await
    }

    /// Gives a key another secret, and returns the one that it had.
    pub(crate) async fn rotate(
        &mut self,
        name: &'static str,
        rotation: Rotation,
        now: UnixTime,
    ) -> Result<Token, Box<dyn Error>> {
        let permit = authorize_operation(&self.actor(), Rotate(self.record(name).await?), None, now)?;
        let next = self.manager.rotate(permit, rotation, &mut SysRng, now).await?;
        self.tokens.insert(name, next.token).ok_or_else(|| "no such key".into())
    }

    pub(crate) async fn end_overlap(&self, name: &str, now: UnixTime) -> Result<(), Box<dyn Error>> {
        let permit = authorize_operation(&self.actor(), Rotate(self.record(name).await?), None, now)?;
        self.manager.end_overlap(permit, now).await?;
        Ok(())
    }

    pub(crate) async fn revoke(&self, name: &str, now: UnixTime) -> Result<(), Box<dyn Error>> {
        let permit = authorize_operation(&self.actor(), Revoke(self.record(name).await?), None, now)?;
        self.manager.revoke(permit, now).await?;
        Ok(())
    }

    pub(crate) fn token(&self, name: &str) -> Result<&Token, Box<dyn Error>> {
        self.tokens.get(name).ok_or_else(|| "no such key".into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Token)> {
        self.tokens.iter().map(|(name, token)| (*name, token))
    }

    pub(crate) async fn record(&self, name: &str) -> Result<Arc<KeyRecord>, Box<dyn Error>> {
        let record = self.manager.store().find(self.token(name)?.id()).await?;
        record.ok_or_else(|| "no such key".into())
    }

    fn actor(&self) -> Actor<'static> {
        Actor::System(self.system.clone())
    }
}

pub(crate) fn team_grant(permission: Permission) -> Result<Grant, Box<dyn Error>> {
    Ok(Grant::Team { team: "core".parse()?, permission })
}
