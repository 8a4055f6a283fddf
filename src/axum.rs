//! Extractors for axum's handlers.
//!
//! A handler that takes an [`Authorization`] or an [`AuthenticatedKey`] as an argument gets the one that the
//! [layers](crate::tower) put into the request. If the layer is missing, the handler is not reached: the answer is
//! a 500 that names the layer.
//!
//! ```
//! use keygate::{AuthenticatedKey, Authorization};
//!
//! async fn predict(authorization: Authorization) -> String {
//!     format!("{:?}", authorization.request().action.model())
//! }
//!
//! async fn who_am_i(key: AuthenticatedKey) -> String {
//!     key.id().to_string()
//! }
//! # let _ = (predict, who_am_i);
//! ```

use ::http::{StatusCode, request::Parts};
use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};

use crate::decision::{AuthenticatedKey, Authorization};

/// A handler asked for a value that no layer put into the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MissingLayer {
    /// There is no authenticated key.
    #[error("`AuthenticateLayer` is not in front of this route")]
    Authenticate,
    /// There is no decision.
    #[error("`AuthorizeLayer` is not in front of this route")]
    Authorize,
}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, alloc::string::ToString::to_string(&self)).into_response()
    }
}

macro_rules! extractor {
    ($proof:ident, $missing:expr) => {
        impl<S: Sync> FromRequestParts<S> for $proof {
            type Rejection = MissingLayer;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
                parts.extensions.get::<Self>().cloned().ok_or($missing)
            }
        }
    };
}

extractor!(AuthenticatedKey, MissingLayer::Authenticate);
extractor!(Authorization, MissingLayer::Authorize);
