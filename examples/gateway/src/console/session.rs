//! Sessions in the database. The id is in the cookie alone: what is stored is its digest.

use async_trait::async_trait;
use tower_sessions::{
    SessionStore,
    cookie::time::{Duration, OffsetDateTime},
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::{form::hex, person::SIGNED_IN};
use crate::database::{Database, execute, sql};

/// How long a session lives that is not used.
pub(super) const IDLE: Duration = Duration::hours(1);

#[derive(Clone, Debug)]
pub(super) struct Sessions {
    database: Database,
}

impl Sessions {
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let insert = "INSERT INTO gateway_sessions (digest, user_id, data, expires_at) VALUES ($1, $2, $3, $4)";
        let user = record.data.get(SIGNED_IN).and_then(|signed_in| signed_in.get("user"));
        let user = user.and_then(|user| user.as_str()).map(ToOwned::to_owned);
        let (digest, data, end) = (digest(&record.id), data(record)?, record.expiry_date.unix_timestamp());
        execute!(&self.database, insert, digest, user, data, end).map(drop).map_err(failed)
    }

    /// Never makes a session: one that was ended meanwhile stays ended. What it writes is when the person was last
    /// seen. Where that fails, the session ends earlier; the answer, which may hold a secret, must not be lost for it.
    async fn save(&self, record: &Record) -> Result<()> {
        let update = "UPDATE gateway_sessions SET data = $2, expires_at = $3 WHERE digest = $1";
        let (data, end) = (data(record)?, record.expiry_date.unix_timestamp());
        let saved = execute!(&self.database, update, digest(&record.id), data, end);
        if let Err(error) = saved {
            tracing::warn!(%error, "a session goes on for no longer than before");
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let find = "SELECT data, expires_at FROM gateway_sessions WHERE digest = $1 AND expires_at > $2";
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let found: Option<(String, i64)> = sql!(&self.database, pool =>
            sqlx::query_as(find).bind(digest(id)).bind(now).fetch_optional(pool))
        .map_err(failed)?;
        let Some((data, end)) = found else { return Ok(None) };
        let data = serde_json::from_str(&data).map_err(|error| Error::Decode(error.to_string()))?;
        let expiry_date = OffsetDateTime::from_unix_timestamp(end).map_err(|error| Error::Decode(error.to_string()))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let delete = "DELETE FROM gateway_sessions WHERE digest = $1";
        execute!(&self.database, delete, digest(id)).map(drop).map_err(failed)
    }
}

fn digest(id: &Id) -> String {
    hex(id.to_string().as_bytes())
}

fn data(record: &Record) -> Result<String> {
    serde_json::to_string(&record.data).map_err(|error| Error::Encode(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}
