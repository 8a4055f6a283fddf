//! Who manages keys: a user who is signed in, or a verified key.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderName, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use keygate::{
    Actor, MatchedKey, UserId,
    http::{CredentialError, extract_credential},
};
use tower::{Layer, ServiceExt};

use crate::app::App;

/// For development only, and believed only with `--dev-login`.
///
/// In production this would be no login at all: whoever can send a header could be any user, an admin included. A real
/// service puts its own session check (a cookie, single sign-on) where [`sign_in`] reads this header, and makes sure
/// that no proxy lets a header through that claims who somebody is.
const DEV_USER: HeaderName = HeaderName::from_static("x-dev-user");

/// Lets signed-in users by, and everybody else only with a key.
///
/// Both at once are refused as two credentials are: which of them is meant, must not be guessed.
pub(crate) async fn sign_in(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    // What came from outside is no proof.
    request.extensions_mut().remove::<SignedIn>();
    let mut claims = request.headers().get_all(DEV_USER).iter();
    match (app.dev_login, claims.next(), claims.next()) {
        (false, _, _) | (true, None, _) => match app.authenticate.layer(next).oneshot(request).await {
            Ok(response) => response,
            Err(error) => match error {},
        },
        (true, Some(claim), None)
            if extract_credential(request.headers(), app.fields) == Err(CredentialError::Missing) =>
        {
            let Some(user) = claim.to_str().ok().and_then(|text| text.parse().ok()) else {
                return app.responses.no_credential(CredentialError::Malformed).into_response();
            };
            request.extensions_mut().insert(SignedIn(user));
            next.run(request).await
        }
        (true, Some(_), _) => app.responses.no_credential(CredentialError::Multiple).into_response(),
    }
}

#[derive(Clone, Debug)]
struct SignedIn(UserId);

/// Who wants to manage keys.
#[derive(Debug)]
pub(crate) enum Caller {
    Key(MatchedKey),
    User(UserId),
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor<'_> {
        match self {
            Self::Key(key) => Actor::Key(key),
            Self::User(user) => Actor::User(user.clone()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let user = parts.extensions.remove().map(|SignedIn(user)| Self::User(user));
        let key = || parts.extensions.remove().map(Self::Key);
        user.or_else(key).ok_or_else(|| app.responses.no_credential(CredentialError::Missing).into_response())
    }
}
