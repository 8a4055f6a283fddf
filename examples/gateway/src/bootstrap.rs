//! One key of every sort, for tests and for trying out; made by the service itself.

use core::{error::Error, time::Duration};
use std::sync::Arc;

use keygate::{
    Actor, EnvironmentScope, Grant, InvalidText, KeyId, KeyManager, KeyName, KeyRecord, Labels, ManageError,
    ModelScope, NewKeySpec, Permission, RevocationCause, SystemRandomness, Token, UnixTime, Validity,
    store::{Conflict, ListQuery, StatusFilter},
};

use crate::app::{ACME, Keys};

/// Makes the keys, and hands each token to `show` once.
pub(crate) async fn bootstrap(keys: &Keys, mut show: impl FnMut(&str, &Token)) -> Result<(), Box<dyn Error>> {
    let system = Actor::system("bootstrap")?;
    for (name, grant) in sorts()? {
        show(name, &make(keys, &system, name, grant).await?);
    }
    Ok(())
}

fn sorts() -> Result<Vec<(&'static str, Grant)>, Box<dyn Error>> {
    let production = EnvironmentScope::only(["production".parse()?])?;
    let both = EnvironmentScope::only(["production".parse()?, "staging".parse()?])?;
    let one = ModelScope::only(["abcd1234".parse()?])?;
    let full = || Permission::full(EnvironmentScope::All);
    let inference = Permission::inference_only;
    let team = |team: &str, permission| Ok::<_, InvalidText>(Grant::team(team.parse()?, permission));
    Ok(vec![
        ("personal", Grant::personal("ada".parse()?)),
        ("full", team("core", full())?),
        ("full-production", team("core", Permission::full(production.clone()))?),
        ("inference", team("core", inference(EnvironmentScope::All, ModelScope::All))?),
        ("inference-prod-staging", team("core", inference(both, ModelScope::All))?),
        ("inference-one-model", team("core", inference(production, one.clone()))?),
        ("metrics", team("core", Permission::metrics_only(ModelScope::All))?),
        ("metrics-one-model", team("core", Permission::metrics_only(one))?),
        ("other-team", team("labs", full())?),
        ("expired", team("core", full())?),
        ("disabled", team("core", full())?),
        ("revoked", team("core", full())?),
    ])
}

async fn make(keys: &Keys, system: &Actor, text: &str, grant: Grant) -> Result<Token, Box<dyn Error>> {
    let name: KeyName = text.parse()?;
    let labels = Labels::new([(MADE_BY.parse()?, BOOTSTRAP.parse()?)])?;
    let spec = |validity| NewKeySpec::new(grant.clone(), name.clone(), validity).with_labels(labels.clone());
    if let Some(earlier) = earlier(keys, system, &grant, &name).await? {
        // Its token cannot be shown again.
        keys.revoke(system, earlier, RevocationCause::Replaced).await?;
    }
    if text == "expired" {
        // No key is made that has expired already: this one comes from a manager whose clock is an hour behind.
        const HOUR: Duration = Duration::from_secs(3600);
        let past = || UnixTime::now().saturating_sub(HOUR);
        let keys = KeyManager::with_parts(ACME, keys.store().clone(), past, SystemRandomness);
        let soon = Validity::until(past().saturating_add(Duration::from_secs(60)));
        return Ok(keys.create(system, spec(soon)).await?.token);
    }
    let issued = match keys.create(system, spec(Validity::NEVER_EXPIRES)).await {
        Err(ManageError::Conflict(Conflict::NameTaken)) => {
            return Err(format!("the key `{name}` was not made by --bootstrap, and is left as it is").into());
        }
        result => result?,
    };
    match text {
        "disabled" => drop(keys.disable(system, issued.record.id()).await?),
        "revoked" => drop(keys.revoke(system, issued.record.id(), RevocationCause::Requested).await?),
        _ => {}
    }
    Ok(issued.token)
}

/// Finds the key of this name that an earlier start made. One that somebody else made is nobody's to end.
async fn earlier(keys: &Keys, system: &Actor, grant: &Grant, name: &KeyName) -> Result<Option<KeyId>, Box<dyn Error>> {
    let mut query = ListQuery::new();
    query.filter.status = Some(StatusFilter::NotRevoked);
    loop {
        let page = keys.list(system, grant.owner(), query).await?;
        let is_it = |record: &&Arc<KeyRecord>| {
            record.name() == name && record.labels().get(MADE_BY).is_some_and(|by| by.as_str() == BOOTSTRAP)
        };
        if let Some(record) = page.records.iter().find(is_it) {
            return Ok(Some(record.id()));
        }
        if page.next.is_none() {
            return Ok(None);
        }
        query.after = page.next;
    }
}

const MADE_BY: &str = "made-by";
const BOOTSTRAP: &str = "bootstrap";
