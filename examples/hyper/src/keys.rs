//! One key of every kind, made by the service itself.

use core::error::Error;

use keygate::{
    Actor, EnvironmentScope, Grant, Issuer, KeyManager, MemoryDirectory, MemoryStore, ModelScope, NewKeySpec,
    Permission, RevocationCause, Token, Validity,
};

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Makes the keys, and hands each token to `show` once.
pub(crate) async fn bootstrap(
    keys: &KeyManager<MemoryStore, MemoryDirectory>,
    show: impl Fn(&str, &Token),
) -> Result<(), Box<dyn Error>> {
    let system = Actor::system("bootstrap")?;
    for (name, grant) in sorts()? {
        let issued = keys.create(&system, NewKeySpec::new(grant, name.parse()?, Validity::NEVER_EXPIRES)).await?;
        show(name, &issued.token);
        if name == "revoked" {
            keys.revoke(&system, issued.record.id(), RevocationCause::Requested).await?;
        }
    }
    Ok(())
}

fn sorts() -> Result<Vec<(&'static str, Grant)>, Box<dyn Error>> {
    let team = |permission| Ok::<_, Box<dyn Error>>(Grant::team("core".parse()?, permission));
    let full = || Permission::full(EnvironmentScope::All);
    let production = EnvironmentScope::only(["production".parse()?])?;
    let one_model = ModelScope::only(["abcd1234".parse()?])?;
    Ok(vec![
        ("personal", Grant::personal("ada".parse()?)),
        ("full", team(full())?),
        ("inference-one-model", team(Permission::inference_only(production, one_model))?),
        ("revoked", team(full())?),
    ])
}
