//! Models, behind both layers. The models themselves only echo: what is shown here is who may call them.

mod chat;
mod export;
mod openai;
mod predict;
mod resolve;
mod stream;

use std::sync::Arc;

use axum::{
    Router,
    http::request::Parts,
    routing::{MethodRouter, get, post},
};
use keygate::{Authorization, UnixTime, http::Refusal, tower::AuthorizeLayer};

use self::resolve::{Named, Resource, Rule};
use crate::app::App;

/// The rule of each route, decided before its handler runs.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    // On the methods of a route and not on the router: another method gets its 405 then, and not the layer's 403.
    let decided = |resource: Resource, methods: MethodRouter<Arc<App>>| {
        let rule = Rule { app: Arc::clone(app), resource };
        let answers = Arc::clone(app);
        let answer = move |refusal: &Refusal, _: &Parts| answers.refuse(refusal);
        methods.route_layer(AuthorizeLayer::new(Arc::clone(&app.gate), answer, rule).hiding())
    };
    let mut router = Router::new();
    for (path, named) in [
        ("/models/{model}/environments/{environment}", Named::Environment),
        ("/models/{model}/production", Named::Production),
        ("/models/{model}/development", Named::Development),
        ("/models/{model}/deployment/{deployment}", Named::Deployment),
    ] {
        let call = |methods| decided(Resource::Call(named), methods);
        router = router
            .route(&format!("{path}/predict"), call(post(predict::predict)))
            .route(&format!("{path}/async_predict"), call(post(predict::async_predict)))
            .route(&format!("{path}/wake"), call(post(predict::wake)))
            .route(&format!("{path}/ticks"), call(get(stream::ticks)))
            .route(&format!("{path}/sync/v1/chat/completions"), call(post(chat::completions)));
    }
    router
        .route("/models/{model}/async_request/{request}", decided(Resource::AsyncRequest, get(predict::async_request)))
        .route("/models/{model}/deployments", decided(Resource::Deploy, post(predict::deploy)))
        .route("/v1/models", get(openai::models))
        .route("/v1/chat/completions", post(openai::completions))
        .route("/metrics", get(export::metrics))
}

impl App {
    /// Decides again, by what the key is now: call it before acting where reading the body or writing an answer took
    /// time.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) async fn still_allowed(&self, authorization: Authorization) -> Result<Authorization, Refusal> {
        let since = authorization.decided_at();
        self.allowed_since(authorization, since).await
    }

    /// As [`App::still_allowed`], for a key that was looked up at another time than the decision.
    async fn allowed_since(&self, authorization: Authorization, since: UnixTime) -> Result<Authorization, Refusal> {
        if self.gate.now() == since {
            return Ok(authorization);
        }
        Refusal::unless_allowed(self.gate.check_again(&authorization).await?)
    }
}
