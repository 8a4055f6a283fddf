//! Requests that are sent again mint nothing.
//!
//! A client that lost the answer does not know whether a key was made, and no answer can hold its secret twice. So the
//! idempotency key is claimed before anything is minted, and one who comes with it again learns which key was made, in
//! order to rotate or revoke it.

use axum::http::HeaderMap;
use keygate::{
    Actor, AuthenticatedKey, KeyId, KeyName, ManageError, Owner, UnixTime, UserId,
    store::{KeyFilter, ListQuery, StatusFilter},
};

use super::problem::Failure;
use crate::{
    app::App,
    database::{execute, sql},
};

/// An idempotency key, and who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    actor: String,
    key: String,
}

impl Claim {
    /// Reads the field `Idempotency-Key`.
    pub(crate) fn read(headers: &HeaderMap, caller: &AuthenticatedKey) -> Result<Option<Self>, Failure> {
        let wrong =
            || Failure::invalid("idempotency_key", "`Idempotency-Key` is one text of 1 to 128 visible ASCII symbols");
        let mut fields = headers.get_all("idempotency-key").iter();
        let Some(field) = fields.next() else { return Ok(None) };
        let text = field.to_str().map_err(|_| wrong())?;
        let is_valid = (1..=128).contains(&text.len()) && text.bytes().all(|symbol| symbol.is_ascii_graphic());
        if fields.next().is_some() || !is_valid {
            return Err(wrong());
        }
        Ok(Some(Self { actor: caller.owner().to_string(), key: text.into() }))
    }

    /// Takes the token of a form of the console. `Idempotency-Key` holds no space, so the two never meet.
    pub(crate) fn of_form(user: &UserId, token: &str) -> Self {
        Self { actor: Owner::Personal(user.clone()).to_string(), key: format!("form {token}") }
    }
}

/// A claim that is this request's, or none.
#[derive(Debug)]
pub(crate) struct Claimed(Option<Claim>);

impl Claimed {
    /// Claims an idempotency key for something that is to be made; `id` is the key that gets a new secret.
    ///
    /// # Errors
    ///
    /// [`Failure::Replayed`] if it was claimed before.
    pub(crate) async fn new(
        app: &App,
        claim: Option<Claim>,
        owner: &Owner,
        name: &KeyName,
        id: Option<KeyId>,
    ) -> Result<Self, Failure> {
        let Some(claim) = claim else { return Ok(Self(None)) };
        let insert = "INSERT INTO gateway_idempotency (actor, idempotency_key, key_id, owner, name, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let (id, owner_text, now) = (id.map(|id| id.to_string()), owner.to_string(), app.gate.now().as_secs());
        let inserted = execute!(&app.database, insert, &claim.actor, &claim.key, &id, &owner_text, name.as_str(), now)?;
        if inserted == 1 { Ok(Self(Some(claim))) } else { Err(replayed(app, &claim).await?) }
    }

    /// Notes what was made. Where this fails, [`replayed`] finds it by its name.
    pub(crate) async fn made(self, app: &App, id: KeyId) {
        let Some(claim) = self.0 else { return };
        let update = "UPDATE gateway_idempotency SET key_id = $3 WHERE actor = $1 AND idempotency_key = $2";
        let noted = execute!(&app.database, update, &claim.actor, &claim.key, id.as_str());
        if let Err(error) = noted {
            tracing::warn!(%error, "an idempotency key was not noted");
        }
    }

    /// Gives the claim back where nothing was made, so that the request can be corrected and sent again. After a
    /// failure of the database it is unknown, and the claim stays.
    pub(crate) async fn failed<S, D>(self, app: &App, error: ManageError<S, D>) -> Failure
    where
        S: core::error::Error + 'static,
        D: core::error::Error + 'static,
    {
        if let (Some(claim), Some(_)) = (self.0, error.refusal()) {
            let delete = "DELETE FROM gateway_idempotency WHERE actor = $1 AND idempotency_key = $2";
            let given_back = execute!(&app.database, delete, &claim.actor, &claim.key);
            if let Err(error) = given_back {
                tracing::warn!(%error, "an idempotency key was not given back");
            }
        }
        error.into()
    }
}

/// Says what was made under a claim. Where that was not noted, it is the live key of the name: names are unique.
async fn replayed(app: &App, claim: &Claim) -> Result<Failure, Failure> {
    let find =
        "SELECT key_id, owner, name, created_at FROM gateway_idempotency WHERE actor = $1 AND idempotency_key = $2";
    let found: Option<(Option<String>, String, String, i64)> = sql!(&app.database, pool =>
        sqlx::query_as(find).bind(&claim.actor).bind(&claim.key).fetch_optional(pool))?;
    let id = match found {
        Some((None, owner, name, claimed_at)) => named(app, &owner, &name, UnixTime::from_secs(claimed_at)).await?,
        Some((id, ..)) => id,
        None => None,
    };
    Ok(Failure::Replayed { id })
}

/// Finds what was made by its name. What is older than the claim was made by another request, and is no orphan.
async fn named(app: &App, owner: &str, name: &str, claimed_at: UnixTime) -> Result<Option<String>, Failure> {
    let (Ok(owner), Ok(actor)) = (owner.parse::<Owner>(), Actor::system("idempotency")) else { return Ok(None) };
    let mut query = ListQuery::new();
    query.filter = KeyFilter::ALL;
    query.filter.status = Some(StatusFilter::NotRevoked);
    loop {
        let page = app.keys.list(&actor, owner.clone(), query).await?;
        if let Some(record) = page.records.iter().find(|record| record.name().as_str() == name) {
            return Ok(Some(record)
                .filter(|record| record.created_at() >= claimed_at)
                .map(|record| record.id().to_string()));
        }
        let Some(next) = page.next else { return Ok(None) };
        query.after = Some(next);
    }
}
