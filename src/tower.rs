//! Two `tower` layers: one says who calls, the other whether they may. No runtime of their own.
//!
//! ```text
//! AuthenticateLayer    before routing: header -> authenticated key, put into the request's extensions; credential removed
//!   router             matches the route and resolves its ids
//!     AuthorizeLayer   at the matched route: Resolve -> Request -> decision; the Authorization goes into the extensions
//!       handler        demands the Authorization, and serves the request in it
//! ```
//!
//! Never decide before routing, from the raw path: a guard with its own path parsing will eventually disagree with the
//! router. [`Resolve`] is asked at the matched route, with what the router resolved. A route for which it has no rule is
//! closed.
//!
//! Both share one [`Gate`](crate::Gate), which tells its sink what happens.

mod authenticate;
mod authorize;
mod response_future;

use alloc::{boxed::Box, string::String};

use ::http::Response;

pub use authenticate::{Authenticate, AuthenticateLayer};
pub use authorize::{Authorize, AuthorizeLayer, Resolve, Unresolved};
pub use response_future::ResponseFuture;

/// The reply to a refused request; in a box, so that an allowed one carries no room for it.
pub(crate) type Reply = Box<Response<String>>;
