//! One key of every sort, made by the service itself.

use core::error::Error;
use std::sync::Arc;

use keygate::{
    Actor, Create, EnvironmentScope, Grant, Issuer, ModelScope, Permission, Revoke, SysRng, Token, UnixTime, Validity,
    authorize_operation,
};

use crate::table::Table;

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Makes the keys, and hands each token to `show` once.
pub(crate) fn bootstrap(table: &Table, show: impl Fn(&str, &Token)) -> Result<(), Box<dyn Error>> {
    let now = UnixTime::now();
    let system = Actor::system("bootstrap")?;
    for (name, grant) in sorts()? {
        let permit = authorize_operation(&system, Create(grant), None, now)?;
        let issued = permit.issue(ACME, name.parse()?, Validity::NEVER_EXPIRES, &mut SysRng, now)?;
        table.insert(&issued.key)?;
        show(name, &issued.token);
        if name == "revoked" {
            let record = Arc::new(issued.key.record().clone());
            table.revoke(&authorize_operation(&system, Revoke(record), None, now)?, now)?;
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
