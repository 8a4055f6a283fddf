//! HTTP: the credential in, the answer out. Types of the `http` crate, no server, no I/O.
//!
//! [`take_credential`] finds the credential and takes it out, [`Responses`] builds the replies. In between stands the
//! [`Gate`](crate::Gate). A refusal is a value, [`Refusal`], so that a service can answer in its own way.
//!
//! # The format of answers
//!
//! | outcome | status | error in the challenge | `kind` | `reason` |
//! |---|---|---|---|---|
//! | no credential | 401 | none | `missing_credential` | |
//! | a malformed field, more than one, or a token in a field for credentials, the path or the query, where it does not count | 400 | `invalid_request` | `invalid_request` | `malformed`, `multiple`, `misplaced` |
//! | the key is not valid, for whatever cause | 401 | `invalid_token` | `invalid_token` | |
//! | the key is revoked, disabled, expired, not yet valid, or its user deprovisioned | 401 | `invalid_token` | `invalid_token` | a [`Reason`](crate::Reason) |
//! | the key may not do it | 403 | `insufficient_scope` | `insufficient_scope` | a [`Reason`](crate::Reason) |
//! | the route is not listed | 403 | `insufficient_scope` | `insufficient_scope` | |
//! | the transport is not encrypted | 403 | no challenge | `plaintext` | |
//! | there is no such resource, or it is hidden | 404 | no challenge | `not_found` | |
//! | the route has no such method | 405, with `Allow` | no challenge | `method_not_allowed` | |
//! | the requested key, or overlap, breaks a rule of the service | 400 | no challenge | `invalid_change` | a [`RefusalReason`](crate::audit::RefusalReason) |
//! | the stored keys do not allow the change | 409 | no challenge | `conflict` | a [`RefusalReason`](crate::audit::RefusalReason) |
//! | a look-up failed | 503 | no challenge | `unavailable` | |
//!
//! A challenge always comes as two lines: `Bearer` (RFC 6750), and then `Api-Key`.
//!
//! ```text
//! WWW-Authenticate: Bearer realm="REALM"[, error="ERROR"]
//! WWW-Authenticate: Api-Key realm="REALM"
//! Content-Type: application/problem+json
//! Cache-Control: no-store
//! ```
//!
//! The body is one JSON object: problem details (RFC 9457), and the member `error` that OpenAI's clients show to their
//! users.
//!
//! | member | value |
//! |---|---|
//! | `type` | a base and the `kind`; the base is `/problems/` unless [`Responses::with_types`] sets another |
//! | `title` | a sentence in English, the same for each outcome |
//! | `status` | the status, as a number |
//! | `reason` | as in the table, or absent |
//! | `sufficient_levels` | where the reason is `level_insufficient` for a request: the levels that would suffice |
//! | `error` | `message`: the title, and the reason in parentheses; `type`: the `kind`; `code`: the reason, or else the `kind` |
//!
//! Other members may be added. The names in the table are stable, and so is the order of the challenges.

mod answer;
mod credential;
#[cfg(feature = "serde")]
mod introspection;
mod refusal;
mod removal;
mod sources;

pub use answer::{InvalidResponses, Responses};
#[cfg(feature = "tower")]
pub(crate) use credential::extract_beside_foreign;
pub use credential::{CredentialError, MAX_FIELD_LENGTH, bearer_header, extract_credential};
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub use introspection::Introspection;
pub use refusal::Refusal;
pub use removal::{Credential, misplaced_id, take_credential};
#[cfg(feature = "tower")]
pub(crate) use removal::{find, holds, remove};
pub use sources::{CredentialSources, InvalidSource};
