//! HTTP: the credential in, the answer out. Types of the `http` crate, no server, no I/O.
//!
//! [`extract_credential`] finds what was presented, [`Responses`] says what to reply. Between the two stands the
//! [`Gate`](crate::Gate).
//!
//! | outcome | status | challenge | `type` of the body |
//! |---|---|---|---|
//! | no credential | 401 | without error code | `urn:keygate:problem:missing_credential` |
//! | malformed field, or more than one | 400 | `invalid_request` | `urn:keygate:problem:invalid_request` |
//! | the key is not valid, for whatever reason | 401 | `invalid_token` | `urn:keygate:problem:invalid_token` |
//! | the key is revoked, disabled, expired, not yet valid, or its user deprovisioned | 401 | `invalid_token` | `urn:keygate:problem:invalid_token`, with the reason |
//! | the key may not do it | 403 | `insufficient_scope` | `urn:keygate:problem:insufficient_scope`, with the reason |
//! | a look-up failed | 503 | none | `urn:keygate:problem:unavailable` |
//! | the transport is not encrypted | 403 | none | `urn:keygate:problem:plaintext` |

mod answer;
mod credential;
#[cfg(feature = "serde")]
mod introspection;

pub use answer::{InvalidRealm, Responses};
#[cfg(feature = "tower")]
pub(crate) use credential::X_API_KEY;
pub use credential::{CredentialError, CredentialHeaders, MAX_FIELD_LENGTH, bearer_header, extract_credential};
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub use introspection::Introspection;
