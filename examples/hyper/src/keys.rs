//! One key of every sort, made by the service itself.

use core::error::Error;

use keygate::{
    Actor, Create, EnvironmentScope, Grant, Issuer, KeyManager, KeyStore, MemoryStore, ModelScope, Permission, Revoke,
    SysRng, Token, UnixTime, Validity, authorize_operation,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Makes the keys, and hands each token to `show` once.
pub(crate) async fn bootstrap(store: &MemoryStore, show: impl Fn(&str, &Token)) -> Result<(), Box<dyn Error>> {
    let (now, manager) = (UnixTime::now(), KeyManager::new(ACME, store));
    let system = Actor::system("bootstrap")?;
    for (name, grant) in sorts()? {
        let permit = authorize_operation(&system, Create(grant), None, now)?;
        let issued = manager.create(permit, name.parse()?, Validity::NEVER_EXPIRES, &mut SysRng, now).await?;
        show(name, &issued.token);
        if name == "revoked" {
            let record = store.find(issued.token.id()).await?.ok_or("the key was just made")?;
            manager.revoke(authorize_operation(&system, Revoke(record), None, now)?, now).await?;
        }
    }
    Ok(())
}

fn sorts() -> Result<Vec<(&'static str, Grant)>, Box<dyn Error>> {
    let team = |permission| Ok::<_, Box<dyn Error>>(Grant::Team { team: "core".parse()?, permission });
    let full = || Permission::Full { environments: EnvironmentScope::All };
    let production = EnvironmentScope::only(["production".parse()?])?;
    let one_model = ModelScope::only(["abcd1234".parse()?])?;
    Ok(vec![
        ("personal", Grant::Personal { user: "ada".parse()? }),
        ("full", team(full())?),
        ("inference-one-model", team(Permission::InferenceOnly { environments: production, models: one_model })?),
        ("revoked", team(full())?),
    ])
}
