//! One key of every sort, for tests and for trying out; made by the service itself.

use core::error::Error;
use core::num::NonZeroU16;
use std::sync::Arc;

use keygate::{
    Actor, Conflict, Create, Disable, EnvironmentScope, Grant, InvalidText, KeyManager, KeyName, KeyRecord, KeyStore,
    List, ManageError, ModelScope, PageRequest, Permission, Revoke, Status, SysRng, Token, UnixTime, Validity,
    authorize_operation,
};

use crate::{app::Store, audit};

/// Makes the keys, and hands each token to `show` once.
pub(crate) async fn bootstrap(
    manager: &KeyManager<Store>,
    mut show: impl FnMut(&'static str, &Token),
) -> Result<(), Box<dyn Error>> {
    let now = UnixTime::now();
    let maker = Maker { manager, system: Actor::system("bootstrap")?, now };
    for (name, grant, validity) in sorts(now)? {
        let token = maker.make(name, grant, validity).await?;
        show(name, &token);
    }
    Ok(())
}

fn sorts(now: UnixTime) -> Result<Vec<Sort>, Box<dyn Error>> {
    let production = EnvironmentScope::only(["production".parse()?])?;
    let both = EnvironmentScope::only(["production".parse()?, "staging".parse()?])?;
    let one = ModelScope::only(["abcd1234".parse()?])?;
    let full = || Permission::Full { environments: EnvironmentScope::All };
    let inference = |environments, models| Permission::InferenceOnly { environments, models };
    let team = |team: &str, permission| Ok::<_, InvalidText>(Grant::Team { team: team.parse()?, permission });
    let unlimited = Validity::NEVER_EXPIRES;
    Ok(vec![
        ("personal", Grant::Personal { user: "ada".parse()? }, unlimited),
        ("full", team("core", full())?, unlimited),
        ("full-production", team("core", Permission::Full { environments: production.clone() })?, unlimited),
        ("inference", team("core", inference(EnvironmentScope::All, ModelScope::All))?, unlimited),
        ("inference-prod-staging", team("core", inference(both, ModelScope::All))?, unlimited),
        ("inference-one-model", team("core", inference(production, one.clone()))?, unlimited),
        ("metrics", team("core", Permission::MetricsOnly { models: ModelScope::All })?, unlimited),
        ("metrics-one-model", team("core", Permission::MetricsOnly { models: one })?, unlimited),
        ("other-team", team("labs", full())?, unlimited),
        ("expired", team("core", full())?, Validity::until(now)),
        ("disabled", team("core", full())?, unlimited),
        ("revoked", team("core", full())?, unlimited),
    ])
}

type Sort = (&'static str, Grant, Validity);

struct Maker<'a> {
    manager: &'a KeyManager<Store>,
    system: Actor<'a>,
    now: UnixTime,
}

impl Maker<'_> {
    async fn make(&self, text: &'static str, grant: Grant, validity: Validity) -> Result<Token, Box<dyn Error>> {
        let name: KeyName = text.parse()?;
        let token = loop {
            let permit = authorize_operation(&self.system, Create(grant.clone()), None, self.now)?;
            match self.manager.create(permit, name.clone(), validity, &mut SysRng, self.now).await {
                Ok(issued) => {
                    audit::tell(&issued.event);
                    break issued.token;
                }
                // An earlier start made it. Its token cannot be shown again, so the old key ends.
                Err(ManageError::Conflict(Conflict::NameTaken)) => {
                    self.revoke(&self.named(&name, &grant).await?).await?
                }
                Err(error) => return Err(error.into()),
            }
        };
        let record = self.manager.store().find(token.id()).await?.ok_or("the key was just made")?;
        match text {
            "disabled" => {
                let permit = authorize_operation(&self.system, Disable(record), None, self.now)?;
                audit::tell(&self.manager.disable(permit, self.now).await?);
            }
            "revoked" => self.revoke(&record).await?,
            _ => {}
        }
        Ok(token)
    }

    async fn revoke(&self, record: &Arc<KeyRecord>) -> Result<(), Box<dyn Error>> {
        let permit = authorize_operation(&self.system, Revoke(Arc::clone(record)), None, self.now)?;
        audit::tell(&self.manager.revoke(permit, self.now).await?);
        Ok(())
    }

    /// Finds the owner's key that has the name and is not revoked: the one that stands in the way.
    async fn named(&self, name: &KeyName, grant: &Grant) -> Result<Arc<KeyRecord>, Box<dyn Error>> {
        let mut after = None;
        loop {
            let permit = authorize_operation(&self.system, List(grant.owner()), None, self.now)?;
            let page = self.manager.list(permit, PageRequest { after, limit: NonZeroU16::MAX }).await?;
            let is_it =
                |record: &&Arc<KeyRecord>| record.name() == name && !matches!(record.status(), Status::Revoked { .. });
            if let Some(record) = page.records.iter().find(is_it) {
                return Ok(Arc::clone(record));
            }
            after = Some(page.next.ok_or("the name is taken by a key that is not listed")?);
        }
    }
}
