//! Fields of forms, and forms that take effect once.

use std::sync::Arc;

use axum::{
    RequestPartsExt as _,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use keygate::UserId;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tower_sessions::Session;
use url::form_urlencoded;

use super::{page::Stop, person::Person};
use crate::{
    api::{idempotency::Claim, problem::PATIENCE},
    app::App,
};

/// The fields of a form, or of a query, in their order; checkboxes of one name come one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns a field without the white space around it; one that is empty is not there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim());
        values.find(|value| !value.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.trim());
        values.filter(|value| !value.is_empty())
    }

    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|found| found == value)
    }

    /// Writes them as a query again, but for those named.
    pub(super) fn query_without(&self, names: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, value)| !names.contains(&name.as_str()) && !value.is_empty());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

/// The query of a page.
pub(super) struct Query(pub(super) Fields);

impl FromRequestParts<Arc<App>> for Query {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Stop> {
        Ok(Self(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// A form, and who sent it. A body may take its time: the session and the directory are asked again when it has come.
pub(super) struct Signed(pub(super) Person, pub(super) Fields);

impl FromRequest<Arc<App>> for Signed {
    type Rejection = Stop;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Stop> {
        let (mut parts, body) = request.into_parts();
        // Nothing is read of a stranger.
        parts.extract_with_state::<Person, _>(app).await?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let request = Request::from_parts(parts.clone(), body);
        // Forms that do not come must not take the places of other requests.
        let reading = app.console.forms.try_acquire().map_err(|_| Stop::Busy)?;
        let late = |_| Stop::wrong(StatusCode::REQUEST_TIMEOUT, "The form took too long.");
        let bytes = timeout(PATIENCE, Bytes::from_request(request, app)).await.map_err(late)?;
        let bytes = bytes.map_err(|_| Stop::wrong(StatusCode::BAD_REQUEST, "The form arrived incomplete."))?;
        drop(reading);
        if !is_form && !bytes.is_empty() {
            return Err(Stop::wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "That was not a form of this page."));
        }
        let session: Session = parts.extensions.get().cloned().ok_or(Stop::Unavailable)?;
        session.load().await?;
        Ok(Self(parts.extract_with_state(app).await?, Fields::parse(&bytes)))
    }
}

impl Fields {
    /// Reads what makes a form count once: sent again, by a reload or after a lost answer, it makes no second secret.
    pub(super) fn claim(&self, user: &UserId) -> Result<Claim, Stop> {
        let token = self.text("form").filter(|token| token.len() <= 64);
        let token = token.ok_or(Stop::wrong(StatusCode::BAD_REQUEST, "The form was incomplete. Open it again."))?;
        Ok(Claim::of_form(user, token))
    }
}

/// Returns the SHA-256 in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
