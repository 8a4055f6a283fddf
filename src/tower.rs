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
//! Touches and events go to a [`AuditSink`], which must not block; [`ChannelSink`] is a bounded one.

mod authenticate;
mod authorize;
mod checked;
mod sink;

use alloc::{boxed::Box, string::String};

use ::http::Response;

use crate::{
    event::{Event, Principal},
    gate::Gate,
    http::Responses,
    time::UnixTime,
};

pub use authenticate::{Authenticate, AuthenticateLayer};
pub use authorize::{Authorize, AuthorizeLayer, Resolve, Unresolved};
pub use checked::ResponseFuture;
pub use sink::{AuditSink, ChannelSink, Message, channel_sink};

/// The reply to a refused request; in a box, so that the way of an allowed one carries no room for it.
pub(crate) type Reply = Box<Response<String>>;

/// What both layers need: whose tokens, which replies, where to tell of what happened, and what time it is.
#[derive(Clone, Debug)]
pub struct LayerConfig<K> {
    gate: Gate,
    responses: Responses,
    sink: K,
    clock: fn() -> UnixTime,
}

impl<K: AuditSink> LayerConfig<K> {
    /// Takes the parts; `clock` is usually [`UnixTime::now`].
    #[must_use]
    pub const fn new(gate: Gate, responses: Responses, sink: K, clock: fn() -> UnixTime) -> Self {
        Self { gate, responses, sink, clock }
    }

    /// Tells of a refusal that no later stage knows of.
    fn refused(&self, by: Principal, why: &'static str, now: UnixTime) {
        self.sink.refused(Event::refused(now, by, why));
    }
}
