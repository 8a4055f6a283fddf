//! Managing keys over HTTP, in the shape that Baseten documents, and beyond it. Each handler is one call of the
//! manager.
#![expect(unused_qualifications, reason = "the attributes of utoipa name types by their paths")]

mod audit_logs;
pub(crate) mod caller;
mod change;
pub(crate) mod check;
mod create;
pub(crate) mod idempotency;
mod introspect;
pub(crate) mod key;
pub(crate) mod leaks;
mod list;
pub(crate) mod problem;
pub(crate) mod users;

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "keygate gateway", description = "Manages API keys, and says what each may do.", license(name = "MIT OR Apache-2.0")),
    modifiers(&Bearer),
    components(schemas(audit_logs::Direction, list::StatusName)),
    security(("bearer" = []))
)]
struct Described;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Routes that need a key.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::list_of_team, create::create_for_team))
        .routes(routes!(list::one, change::change, change::revoke))
        .routes(routes!(change::rotate))
        .routes(routes!(change::end_overlap))
        .routes(routes!(change::disable))
        .routes(routes!(change::enable))
        .routes(routes!(check::check))
        .routes(routes!(check::who_am_i))
        .routes(routes!(audit_logs::audit_logs))
        .routes(routes!(introspect::introspect))
        .routes(routes!(users::deprovision))
}

/// Routes that need none.
fn described_open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(leaks::report))
}

pub(crate) fn closed() -> Router<Arc<App>> {
    Router::from(described()).method_not_allowed_fallback(async || problem::Failure::method())
}

pub(crate) fn open() -> Router<Arc<App>> {
    let mut document = described().into_openapi();
    document.merge(described_open().into_openapi());
    Router::from(described_open())
        .route("/openapi.json", get(async move || Json(document.clone())))
        .method_not_allowed_fallback(async || problem::Failure::method())
}
