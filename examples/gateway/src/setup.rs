//! The first start: a team with models to try, an administrator, and a key of theirs.

use core::error::Error;

use keygate::{
    Actor, Grant, ManageError, NewKeySpec, Rotation, TeamRole, Token, UnixTime, UserId, Validity, store::Conflict,
};

use crate::{
    app::Keys,
    database::{Database, execute},
};

/// The administrator that the first start makes.
pub(crate) const ADMINISTRATOR: &str = "admin";

/// Claims the first start of this database for this process. Returns `true` until [`finish`] was called, but to one
/// process at a time: another one takes over only where the first was killed.
pub(crate) async fn claim(database: &Database) -> Result<bool, sqlx::Error> {
    let now = UnixTime::now().as_secs();
    let claim = "INSERT INTO gateway_setup (step, at) VALUES ('first start', $1) ON CONFLICT DO NOTHING";
    if execute!(database, claim, now)? == 1 {
        return Ok(true);
    }
    // An SQLite file has one server.
    let patience = match database {
        Database::Postgres(..) => 60,
        Database::Sqlite(..) => 0,
    };
    let take_over = "UPDATE gateway_setup SET at = $1 WHERE step = 'first start' AND at <= $1 - $2 \
                     AND NOT EXISTS (SELECT 1 FROM gateway_setup WHERE step = 'ready')";
    Ok(execute!(database, take_over, now, patience)? == 1)
}

/// Says that the first start is over, so that no later one touches what it made.
pub(crate) async fn finish(database: &Database) -> Result<(), sqlx::Error> {
    let ready = "INSERT INTO gateway_setup (step, at) VALUES ('ready', $1) ON CONFLICT DO NOTHING";
    execute!(database, ready, UnixTime::now().as_secs()).map(drop)
}

/// Adds two teams with models to try, and the administrator.
pub(crate) async fn seed(database: &Database) -> Result<(), Box<dyn Error>> {
    let seeds: [&str; 5] = [
        "INSERT INTO gateway_teams (id, name) VALUES ('core', 'Core'), ('labs', 'Labs') ON CONFLICT DO NOTHING",
        "INSERT INTO gateway_users (id, name, email, is_administrator) VALUES ('admin', 'Administrator', NULL, TRUE) \
         ON CONFLICT DO NOTHING",
        "INSERT INTO gateway_models (id, team_id, name) VALUES ('abcd1234', 'core', 'Llama 4 Scout'), \
         ('wxyz5678', 'core', 'Whisper Large'), ('labs0001', 'labs', 'Experimental') ON CONFLICT DO NOTHING",
        "INSERT INTO gateway_deployments (id, model_id) VALUES ('d1prod', 'abcd1234'), ('d2stag', 'abcd1234'), \
         ('d3free', 'abcd1234'), ('d4prod', 'wxyz5678'), ('d5deve', 'wxyz5678'), ('d6prod', 'labs0001') \
         ON CONFLICT DO NOTHING",
        "INSERT INTO gateway_environments (model_id, name, deployment_id) VALUES \
         ('abcd1234', 'production', 'd1prod'), ('abcd1234', 'staging', 'd2stag'), \
         ('wxyz5678', 'production', 'd4prod'), ('wxyz5678', 'development', 'd5deve'), \
         ('labs0001', 'production', 'd6prod') ON CONFLICT DO NOTHING",
    ];
    for seed in seeds {
        execute!(database, seed)?;
    }
    let administrator: UserId = ADMINISTRATOR.parse()?;
    for team in ["core", "labs"] {
        database.set_member(&administrator, &team.parse()?, TeamRole::Admin).await?;
    }
    Ok(())
}

/// Makes the first key of the administrator. Where a start was killed before it printed the key, nobody has its secret: it
/// gets another one.
pub(crate) async fn first_key(keys: &Keys) -> Result<Token, Box<dyn Error>> {
    let actor = Actor::system("first start")?;
    let grant = Grant::personal(ADMINISTRATOR.parse()?);
    let spec = NewKeySpec::new(grant.clone(), "first-key".parse()?, Validity::NEVER_EXPIRES);
    match keys.create(&actor, spec).await {
        Ok(issued) => Ok(issued.token),
        Err(ManageError::Conflict(Conflict::NameTaken)) => {
            let page = keys.list(&actor, grant.owner(), keygate::store::ListQuery::new()).await?;
            let record =
                page.records.iter().find(|record| record.name().as_str() == "first-key" && !record.is_revoked());
            let id = record.ok_or("the first key is gone")?.id();
            Ok(keys.rotate(&actor, id, Rotation::CutOver).await?.token)
        }
        Err(error) => Err(error.into()),
    }
}
