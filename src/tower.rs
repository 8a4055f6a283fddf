//! Two `tower` layers: one authenticates the caller, the other authorizes the request. No runtime of their own.
//!
//! ```text
//! AuthenticateLayer    before routing: header -> authenticated key, put into the request's extensions; credentials removed
//!   router             matches the route and resolves its ids
//!     AuthorizeLayer   at the matched route: Resolve -> Request -> decision; the Authorization goes into the extensions
//!       handler        takes the Authorization, and serves the request in it
//! ```
//!
//! Never decide before routing, from the raw path: a guard with its own path parsing will eventually disagree with the
//! router. [`Resolve`] runs at the matched route, on the ids that the router resolved. A route without a rule is
//! closed.
//!
//! Both share one [`Gate`](crate::Gate), which reports refusals and uses to its sink.
//!
//! The service behind them, its future and the body of the request may move between threads (`Send`), as axum's do, and
//! service and body borrow nothing.

mod authenticate;
mod authorize;

use alloc::{boxed::Box, string::String};
use core::{future::Future, mem, pin::Pin};

use ::http::{Response, request::Parts};

pub use authenticate::{Authenticate, AuthenticateLayer};
pub use authorize::{Authorize, AuthorizeLayer, Resolve, Unresolved};

use crate::http::{Refusal, Responses};

/// Answers the requests that a layer refuses: [`Responses`], or a function of the service.
///
/// ```
/// use http::{Response, request::Parts};
/// use keygate::http::{Refusal, Responses};
///
/// let responses = Responses::new("models")?;
/// let answer = move |refusal: &Refusal, _: &Parts| match refusal {
///     Refusal::NotFound => Response::builder().status(404).body("nothing here".to_owned()).unwrap(),
///     other => responses.answer(other),
/// };
/// # fn is_answer(_: impl keygate::tower::Answer<String>) {}
/// # is_answer(answer);
/// # Ok::<(), keygate::http::InvalidResponses>(())
/// ```
///
/// # Security
///
/// The parts may still hold the credential: a request that was refused before a key was found is as it came. Repeat
/// nothing of them.
pub trait Answer<B>: Send + Sync + 'static {
    /// Builds the answer to a refused request.
    fn answer(&self, refusal: &Refusal, parts: &Parts) -> Response<B>;
}

impl<B: From<String>> Answer<B> for Responses {
    fn answer(&self, refusal: &Refusal, _: &Parts) -> Response<B> {
        Self::answer(self, refusal).map(B::from)
    }
}

impl<F, B> Answer<B> for F
where
    F: Fn(&Refusal, &Parts) -> Response<B> + Send + Sync + 'static,
{
    fn answer(&self, refusal: &Refusal, parts: &Parts) -> Response<B> {
        self(refusal, parts)
    }
}

/// The response future of both layers' services. Like other futures it is not to be polled again after it is ready.
pub type ResponseFuture<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// Takes the service that was polled ready: it goes with the request, and is called, or dropped with the place that it
/// holds. A clone stays with the caller.
fn take_ready<I: Clone>(service: &mut I) -> I {
    let clone = service.clone();
    mem::replace(service, clone)
}
