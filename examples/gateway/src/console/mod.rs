//! The page on which people see, make, rotate and end their keys: HTML from the server, for users who signed in.
//!
//! Each change is one call of the manager, as the user; what it refuses, the pages say in words.

mod assets;
mod create;
mod edge;
mod entry;
mod form;
mod key;
mod key_actions;
mod key_view;
mod list;
mod log;
mod page;
mod person;
pub(crate) mod refusals;
mod reveal;
mod session;
mod sign_in;
mod spec;
mod users;
mod words;

use core::{net::SocketAddr, time::Duration};
use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    response::Redirect,
    routing::{get, post},
};
use tokio::sync::Semaphore;
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};

pub(crate) use self::{
    edge::welcome,
    sign_in::{Link, Links, link_url},
};
use self::{page::Stop, session::Sessions};
use crate::{app::App, config::Config};

/// The state that the pages share.
pub(crate) struct Console {
    /// Under which name browsers reach them, beside loopback.
    host: Option<String>,
    /// Cookies are for HTTPS only: there is TLS here, or at the proxy that serves the name.
    is_secure: bool,
    has_tls: bool,
    /// Places for forms that are being read.
    forms: Semaphore,
}

impl Console {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            host: config.host.clone(),
            has_tls: config.tls.is_some(),
            is_secure: config.tls.is_some() || config.host.is_some(),
            forms: Semaphore::new(usize::from(config.max_requests / 2).clamp(1, FORMS)),
        }
    }
}

/// Returns how the URLs of the pages begin.
pub(crate) fn base(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    match &config.host {
        Some(host) => format!("https://{host}"),
        None if address.ip().is_loopback() => format!("{scheme}://{address}"),
        None => format!("{scheme}://localhost:{}", address.port()),
    }
}

pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let console = &app.console;
    let sessions = SessionManagerLayer::new(Sessions::new(app.database.clone()))
        // A name with this beginning is set by this host alone, for all its paths, over HTTPS.
        .with_name(if console.is_secure { "__Host-keygate" } else { "keygate" })
        .with_secure(console.is_secure)
        .with_http_only(true)
        .with_same_site(SameSite::Strict)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(session::IDLE));
    let pages = Router::new()
        .route("/console", get(list::list))
        .route("/console/", get(async || Redirect::permanent("/console")))
        .route("/console/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/keys/new", get(create::ask))
        .route("/console/keys", post(create::create))
        .route("/console/keys/{id}", get(key::show))
        .route("/console/keys/{id}/rename", post(key_actions::rename))
        .route("/console/keys/{id}/labels", post(key_actions::set_labels))
        .route("/console/keys/{id}/disable", post(key_actions::disable))
        .route("/console/keys/{id}/enable", post(key_actions::enable))
        .route("/console/keys/{id}/revoke", get(key_actions::ask_revoke).post(key_actions::revoke))
        .route("/console/keys/{id}/rotate", get(key_actions::ask_rotate).post(key_actions::rotate))
        .route("/console/keys/{id}/end-overlap", post(key_actions::end_overlap))
        .route("/console/log", get(log::show))
        .route("/console/users", get(users::show).post(users::invite))
        .route("/console/users/{id}/link", post(users::link))
        .route("/console/users/{id}/deprovision", get(users::ask_deprovision).post(users::deprovision))
        .route("/console/{*rest}", get(async || Stop::NotFound))
        .layer(sessions);
    Router::new()
        .merge(pages)
        .route("/console/assets/{name}", get(assets::serve))
        .method_not_allowed_fallback(async || Stop::NotFound)
        .layer(from_fn(edge::same_origin))
        .layer(from_fn_with_state(Arc::clone(app), edge::known_host))
        .layer(from_fn(edge::headers))
}

/// How many forms are read at once.
const FORMS: usize = 32;
/// How long a link that signs somebody in can be used.
const LINK_LIFETIME: Duration = Duration::from_secs(86_400);
