//! Numbers of the models, in the text format of Prometheus, for those who may see them.

use core::fmt::Write as _;
use std::sync::Arc;

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use keygate::{Action, AuthenticatedKey, http::Refusal};

use crate::{api::problem::Failure, app::App};

/// Exports the series of each model that the key may export.
pub(super) async fn metrics(State(app): State<Arc<App>>, key: AuthenticatedKey) -> Result<Response, Failure> {
    let snapshot = app.platform.now()?;
    let mut text = String::from("# HELP model_info Models that are served.\n# TYPE model_info gauge\n");
    let mut is_allowed = false;
    for (team, _) in snapshot.teams() {
        let exports: Vec<_> =
            snapshot.models_of(team).map(|(model, _)| Action::export_metrics(Some(model.clone()))).collect();
        for export in app.gate.allowed(&key, team, exports).await? {
            is_allowed = true;
            if let Some(model) = export.model() {
                let _ = writeln!(text, "model_info{{model=\"{model}\",team=\"{team}\"}} 1");
            }
        }
    }
    if is_allowed {
        Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
    } else {
        Err(Refusal::Closed.into())
    }
}
