//! The first start: a team with models to try, an administrator, and a key of theirs.

use core::error::Error;

use keygate::{
    Actor, Grant, Issuer, ManageError, NewKeySpec, Rotation, TeamRole, Token, UnixTime, UserId, Validity,
    store::Conflict,
};

use sqlx::{Executor as _, Postgres, Transaction};

use crate::{
    app::Keys,
    console::{Link, Links},
    database::{Database, execute, sql},
};

/// The administrator that the first start makes.
pub(crate) const ADMINISTRATOR: &str = "admin";

/// The reason why the server cannot start with this database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("the database was made with the issuer `{before}`, not `{now}`: no key of it would open anything")]
    OtherIssuer { before: String, now: Issuer },
    #[error("what the first start made cannot be read or noted")]
    Database(#[from] sqlx::Error),
}

/// The right to make the first start. Nodes that start meanwhile wait until it is over, or until this one was killed.
#[derive(Debug)]
pub(crate) struct FirstStart(Option<Transaction<'static, Postgres>>);

impl FirstStart {
    /// Returns nothing if the first start is over.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if it was one of another issuer, or the database failed.
    pub(crate) async fn claim(database: &Database, issuer: Issuer) -> Result<Option<Self>, SetupError> {
        let claim = match database {
            Database::Postgres(store, _) => {
                let mut claim = store.database().pool().begin().await?;
                claim.execute("SELECT pg_advisory_xact_lock(8142608)").await?;
                Some(claim)
            }
            // The folder has one server.
            Database::Sqlite(..) => None,
        };
        Ok(if is_over(database, issuer).await? { None } else { Some(Self(claim)) })
    }

    /// Says that the first start is over, so that no later one touches what it made.
    pub(crate) async fn finish(self, database: &Database, issuer: Issuer) -> Result<(), SetupError> {
        let ready = "INSERT INTO gateway_setup (issuer, ready_at) VALUES ($1, $2)";
        execute!(database, ready, issuer.as_str(), UnixTime::now().as_secs())?;
        if let Some(claim) = self.0 {
            claim.rollback().await?;
        }
        Ok(())
    }
}

/// Returns `true` if there was a first start, with this issuer.
///
/// # Errors
///
/// [`SetupError`] if it was one of another issuer, or the database failed.
pub(crate) async fn is_over(database: &Database, issuer: Issuer) -> Result<bool, SetupError> {
    let before: Option<String> =
        sql!(database, pool => sqlx::query_scalar("SELECT issuer FROM gateway_setup").fetch_optional(pool))?;
    match before {
        None => Ok(false),
        Some(before) if before == issuer.as_str() => Ok(true),
        Some(before) => Err(SetupError::OtherIssuer { before, now: issuer }),
    }
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

/// Makes the first key of the administrator. Where a start was killed before it printed the key, nobody has its secret:
/// it gets another one.
pub(crate) async fn first_key(keys: &Keys, validity: Validity) -> Result<Token, Box<dyn Error>> {
    let actor = Actor::system("first start")?;
    let grant = Grant::personal(ADMINISTRATOR.parse()?);
    let spec = NewKeySpec::new(grant.clone(), "first-key".parse()?, validity);
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

/// Makes a link that signs the administrator in.
pub(crate) async fn first_link(database: &Database) -> Result<Link, Box<dyn Error>> {
    let link = Links::new(database).make(&ADMINISTRATOR.parse()?).await?;
    link.ok_or_else(|| "the administrator is gone".into())
}
