//! Proofs for the tests of handlers, made by the code that makes them in production.
//!
//! A handler that demands an [`AuthenticatedKey`] or an [`Authorization`] cannot be called without one, and nothing but
//! the library makes them. These functions mint a key, match its token, and decide, with no store and no server.
//!
//! Switch the feature `testing` on among the dev-dependencies only.
//!
//! ```
//! use keygate::{Action, Authorization, EnvironmentScope, Grant, Permission, Request, testing};
//!
//! fn deploy(authorization: &Authorization) -> String {
//!     format!("deployed by {}", authorization.key().id())
//! }
//!
//! let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
//! let request = Request::new("core".parse()?, Action::Deploy);
//! let authorization = testing::authorization(grant, &request)?;
//! assert!(deploy(&authorization).starts_with("deployed by "));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::sync::Arc;

use crate::{
    action::Request,
    actor::System,
    decision::{AuthenticatedKey, Authorization, Denial},
    grant::{Grant, Validity},
    labels::Labels,
    manage::{Acting, Create, MintRules, Minted, authorize_operation},
    membership::{TeamRole, UserStatus},
    name::Issuer,
    own_action::OwnActions,
    policy::{authenticate, decide},
    randomness::SystemRandomness,
    time::UnixTime,
    verify::{MatchedKey, UnverifiedToken, verify},
};

/// Makes a key with this grant, whose secret matched; it never expires, and its name is `test`.
///
/// ```
/// use keygate::{Grant, testing};
/// let key = testing::matched_key(Grant::personal("ada".parse()?));
/// assert_eq!(key.user().map(|user| user.as_str()), Some("ada"));
/// # Ok::<(), keygate::InvalidText>(())
/// ```
///
/// # Panics
///
/// If the system's generator fails.
pub fn matched_key(grant: Grant) -> MatchedKey {
    #[expect(clippy::expect_used, reason = "for tests: without randomness there is nothing to test")]
    mint(grant).expect("the generator of the system works, and the key breaks no rule")
}

/// Makes an authenticated key with this grant; the user of a personal key is a user.
///
/// ```
/// use keygate::{Grant, testing};
/// let key = testing::authenticated_key(Grant::personal("ada".parse()?));
/// assert_eq!(key.name().as_str(), "test");
/// # Ok::<(), keygate::InvalidText>(())
/// ```
///
/// # Panics
///
/// If the system's generator fails.
pub fn authenticated_key(grant: Grant) -> AuthenticatedKey {
    let key = matched_key(grant);
    #[expect(clippy::expect_used, reason = "for tests: the key was made just now")]
    authenticate(key, Some(UserStatus::active()), UnixTime::now()).expect("the key is usable")
}

/// Decides a request of a key with this grant; the user of a personal key is a member of the request's team.
///
/// # Errors
///
/// The [`Denial`], if the policy does not allow it: then the handler cannot be reached in production either.
///
/// # Panics
///
/// If the system's generator fails.
pub fn authorization(grant: Grant, request: &Request) -> Result<Authorization, Denial> {
    let key = matched_key(grant);
    let decision = decide(&key, Some(TeamRole::Member.into()), request, UnixTime::now());
    decision.into_result().map(|allow| allow.to_authorization())
}

fn mint(grant: Grant) -> Option<MatchedKey> {
    const ISSUER: Issuer = Issuer::from_static("test");
    let (system, now) = (System::new("a test").ok()?, UnixTime::now());
    let rules = MintRules::new().with_own_actions(OwnActions::EVERY_ORDINARY).with_max_scope_members(usize::MAX);
    let create = Create { grant, validity: Validity::NEVER_EXPIRES };
    let permit = authorize_operation(ISSUER, Acting::System(&system), create, None, now).ok()?;
    let name = ("test".parse().ok()?, Labels::NONE);
    let Minted { token, key } = permit.issue(ISSUER, name, &rules, &SystemRandomness, now).ok()?;
    let presented = UnverifiedToken::parse(ISSUER, token.expose_secret()).ok()?;
    verify(&presented, Some(Arc::new(key.record().clone())), now).ok()
}
