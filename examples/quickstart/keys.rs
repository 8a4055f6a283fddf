//! One key of every kind, made by the service itself.

use core::{error::Error, time::Duration};
use std::collections::BTreeMap;

use keygate::{
    Actor, EnvironmentScope, Grant, Issuer, KeyManager, MemoryDirectory, MemoryStore, ModelScope, NewKeySpec,
    Permission, RevocationCause, Rotation, Token, UnixTime, Validity,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// The key `expired` is valid for so long.
pub(crate) const SHORT: Duration = Duration::from_secs(60);

/// The keys by the names that the table uses, and their tokens as their holders got them.
pub(crate) struct Keys {
    pub(crate) manager: KeyManager<MemoryStore, MemoryDirectory>,
    system: Actor,
    tokens: BTreeMap<&'static str, Token>,
}

impl Keys {
    pub(crate) async fn create(store: MemoryStore, directory: MemoryDirectory) -> Result<Self, Box<dyn Error>> {
        let manager = KeyManager::new(ACME, store).with_directory(directory);
        let mut keys = Self { manager, system: Actor::system("quick start")?, tokens: BTreeMap::new() };
        let production = EnvironmentScope::only(["production".parse()?])?;
        let both = EnvironmentScope::only(["production".parse()?, "staging".parse()?])?;
        let one_model = ModelScope::only(["abcd1234".parse()?])?;
        let (full, inference) = (Permission::full, Permission::inference_only);

        keys.add("personal", Grant::personal("ada".parse()?), Validity::NEVER_EXPIRES).await?;
        for (name, permission) in [
            ("full", full(EnvironmentScope::All)),
            ("full-production", full(production.clone())),
            ("inference", inference(EnvironmentScope::All, ModelScope::All)),
            ("inference-prod-staging", inference(both, ModelScope::All)),
            ("inference-one-model", inference(production, one_model)),
            ("metrics", Permission::metrics_only(ModelScope::All)),
            ("revoked", full(EnvironmentScope::All)),
            ("disabled", full(EnvironmentScope::All)),
        ] {
            keys.add(name, Grant::team("core".parse()?, permission), Validity::NEVER_EXPIRES).await?;
        }
        let soon = Validity::until(UnixTime::now().saturating_add(SHORT));
        keys.add("expired", Grant::team("core".parse()?, full(EnvironmentScope::All)), soon).await?;
        Ok(keys)
    }

    async fn add(&mut self, name: &'static str, grant: Grant, validity: Validity) -> Result<(), Box<dyn Error>> {
        let spec = NewKeySpec::new(grant, name.parse()?, validity);
        self.tokens.insert(name, self.manager.create(&self.system, spec).await?.token);
        Ok(())
    }

    /// Gives the keys the states that their names promise, and returns the secret that was rotated out.
    pub(crate) async fn spoil(&mut self) -> Result<Token, Box<dyn Error>> {
        self.revoke("revoked").await?;
        self.manager.disable(&self.system, self.token("disabled")?.id()).await?;
        self.rotate("full", Rotation::CutOver).await
    }

    /// Gives a key another secret, and returns the one that it had.
    pub(crate) async fn rotate(&mut self, name: &'static str, rotation: Rotation) -> Result<Token, Box<dyn Error>> {
        let rotated = self.manager.rotate(&self.system, self.token(name)?.id(), rotation).await?;
        self.tokens.insert(name, rotated.token).ok_or_else(|| "no such key".into())
    }

    pub(crate) async fn end_overlap(&self, name: &str) -> Result<(), Box<dyn Error>> {
        self.manager.end_overlap(&self.system, self.token(name)?.id()).await?;
        Ok(())
    }

    pub(crate) async fn revoke(&self, name: &str) -> Result<(), Box<dyn Error>> {
        self.manager.revoke(&self.system, self.token(name)?.id(), RevocationCause::Requested).await?;
        Ok(())
    }

    pub(crate) fn token(&self, name: &str) -> Result<&Token, Box<dyn Error>> {
        self.tokens.get(name).ok_or_else(|| "no such key".into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Token)> {
        self.tokens.iter().map(|(name, token)| (*name, token))
    }
}
