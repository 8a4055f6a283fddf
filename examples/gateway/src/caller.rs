//! Who manages keys: a user who is signed in, or an authenticated key.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, Method, header::HOST, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use keygate::{
    Actor, AuthenticatedKey, UserId,
    http::{CredentialError, extract_credential},
};
use tower::{Layer, ServiceExt};

use crate::{
    app::App,
    problem::{Problem, is_json},
};

/// For development only, and believed only with `--dev-login`.
///
/// In production this would be no login at all: everybody who can send a header could be any user, an admin included. A real
/// service puts its own session check (a cookie, single sign-on) where [`sign_in`] reads this header, and makes sure
/// that no proxy lets a header through that claims who somebody is.
const DEV_USER: HeaderName = HeaderName::from_static("x-dev-user");

/// Lets signed-in users by, and everybody else only with a key.
///
/// Both at once are refused as two credentials are: which of them is meant, must not be guessed. Where a cookie stands
/// for a user, a page of another site can send a request with it, but no JSON without being asked first (CORS): so every
/// change by a user has that content type.
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
            if extract_credential(request.headers(), &app.sources, app.gate.accepted_keys())
                == Err(CredentialError::Missing) =>
        {
            let Some(user) = claim.to_str().ok().and_then(|text| text.parse().ok()) else {
                return app.responses.answer(CredentialError::Malformed).into_response();
            };
            if !is_loopback(request.headers()) {
                return Problem::forbidden("host_not_loopback").into_response();
            }
            if !matches!(*request.method(), Method::GET | Method::HEAD) && !is_json(request.headers()) {
                return Problem::content_type().into_response();
            }
            request.extensions_mut().insert(SignedIn(user));
            next.run(request).await
        }
        (true, Some(_), _) => app.responses.answer(CredentialError::Multiple).into_response(),
    }
}

/// Returns `true` if the client knows the server by a loopback name. A web page can have its own name stand for the
/// loopback address, and is at home here then.
fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|symbol| symbol.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]" | "localhost")
}

#[derive(Clone, Debug)]
struct SignedIn(UserId);

/// Who wants to manage keys.
#[derive(Debug)]
pub(crate) enum Caller {
    Key(AuthenticatedKey),
    User(UserId),
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Key(key) => Actor::from(key),
            Self::User(user) => Actor::User(user.clone()),
        }
    }

    /// Returns the user: signed in, or behind a personal key.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match self {
            Self::Key(key) => key.user(),
            Self::User(user) => Some(user),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let user = parts.extensions.remove().map(|SignedIn(user)| Self::User(user));
        let key = || parts.extensions.remove().map(Self::Key);
        user.or_else(key).ok_or_else(|| app.responses.answer(CredentialError::Missing).into_response())
    }
}
