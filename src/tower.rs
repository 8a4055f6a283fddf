//! Two `tower` layers: one says who calls, the other whether they may. No runtime of their own.
//!
//! ```text
//! AuthenticateLayer    before routing: header -> verified key, put into the request's extensions; credential removed
//!   router             matches the route and resolves its ids
//!     AuthorizeLayer   at the matched route: Resolve -> Request -> decision; the Authorization goes into the extensions
//!       handler        demands the Authorization, and serves the request in it
//! ```
//!
//! Never decide before routing, from the raw path: a guard that reads paths in its own way disagrees with the router
//! some day. [`Resolve`] is asked at the matched route, with what the router resolved. A route of which it says nothing
//! is closed.
//!
//! Touches and events go to a [`Sink`], which must not block; [`Outbox`] is a bounded one.

mod authenticate;
mod authorize;
mod checked;
mod sink;

use alloc::{boxed::Box, string::String};

use ::http::Response;

use crate::{
    event::{By, Event},
    gate::Gate,
    http::Answers,
    time::UnixTime,
};

pub use authenticate::{Authenticate, AuthenticateLayer};
pub use authorize::{Authorize, AuthorizeLayer, Resolve, Unresolved};
pub use checked::Checked;
pub use sink::{Note, Outbox, Sink, outbox};

/// The reply to a refused request; in a box, so that the way of an allowed one carries no room for it.
pub(crate) type Reply = Box<Response<String>>;

/// What both layers need: whose tokens, which replies, where to tell of what happened, and what time it is.
#[derive(Clone, Debug)]
pub struct Edge<K> {
    gate: Gate,
    answers: Answers,
    sink: K,
    clock: fn() -> UnixTime,
}

impl<K: Sink> Edge<K> {
    /// Takes the parts; `clock` is usually [`UnixTime::now`].
    #[must_use]
    pub const fn new(gate: Gate, answers: Answers, sink: K, clock: fn() -> UnixTime) -> Self {
        Self { gate, answers, sink, clock }
    }

    /// Tells of a refusal that no later stage knows of.
    fn refused(&self, by: By, why: &'static str, now: UnixTime) {
        self.sink.refused(Event::refused(now, by, why));
    }
}
