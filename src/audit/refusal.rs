//! The reasons of refusals.

use core::str::FromStr;

use crate::{reason::Reason, text::text_fmt};

/// The reason of a refusal: one of a closed list, so that a counter can begin at 0 for each.
///
/// The list has the name of every [`Reason`] of the policy, of every refusal by a store or a rule about keys, of every
/// error of a credential, and of the rules of the edge.
///
/// ```
/// use keygate::{Reason, audit::RefusalReason};
///
/// let counters = vec![0_u64; RefusalReason::ALL.len()];
/// assert_eq!(counters[RefusalReason::from(Reason::Expired).index()], 0);
/// assert_eq!("expired".parse(), Ok(RefusalReason::from(Reason::Expired)));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RefusalReason(u8);

macro_rules! refusal_reasons {
    ({ $($(#[doc = $doc:literal])* $name:ident = $text:literal;)* } $($other:literal)*) => {
        impl RefusalReason {
            const NAMES: &'static [&'static str] = &[$($text,)* $($other,)*];

            $($(#[doc = $doc])* pub const $name: Self = Self::of($text);)*
        }
    };
}

refusal_reasons! {
    {
    /// The route is not listed, so no key may use it.
    CLOSED = "closed";
    /// The resource does not exist.
    NOT_FOUND = "not_found";
    /// The transport is not encrypted.
    PLAINTEXT = "plaintext";
    /// A rule of the service's own, such as a rate limit.
    SERVICE_RULE = "service_rule";
    }
    // The policy and the rules about managing.
    "action_not_in_scope" "disabled" "environment_not_in_scope" "environment_required" "environment_scoped" "expired"
    "level_insufficient" "membership_required" "model_not_in_scope" "model_required" "not_yet_valid" "other_issuer" "other_team"
    "other_user" "outlives_actor" "owner_deprovisioned" "resource_not_in_scope" "resource_required" "revoked"
    "session_required"
    // Stores.
    "absent" "changed" "id_taken" "name_taken" "not_disabled"
    // Minting, importing and rotating.
    "action_never_allowed" "action_not_declared" "created_in_future" "expires_in_past" "expiry_required"
    "kind_not_minted" "lifetime_too_long" "overlap_too_long" "rotation_in_progress" "scope_too_large" "time_too_late"
    "user_not_deprovisioned"
    // Permits.
    "permit_for_other_issuer" "permit_too_old"
    // Credentials.
    "checksum_mismatch" "foreign_issuer" "invalid_key" "malformed" "misplaced" "missing" "multiple"
    "unsupported_version"
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &{
        let (mut all, mut rest) = ([Self(0); Self::NAMES.len()], 0_u8);
        let mut unfilled: &mut [Self] = &mut all;
        while let [first, tail @ ..] = unfilled {
            *first = Self(rest);
            rest = rest.wrapping_add(1);
            unfilled = tail;
        }
        all
    };

    /// Returns the place in [`RefusalReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the name, which is stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        // INVARIANT: made from `NAMES`, so the default is never taken.
        Self::NAMES.get(self.index()).copied().unwrap_or_default()
    }

    /// Finds a name of this crate; a test looks up all of them.
    pub(crate) const fn of(name: &str) -> Self {
        let (mut rest, mut place) = (Self::NAMES, 0_u8);
        while let [first, tail @ ..] = rest {
            if crate::name::is_equal(first.as_bytes(), name.as_bytes()) {
                return Self(place);
            }
            place = place.wrapping_add(1);
            rest = tail;
        }
        // The place of `SERVICE_RULE`, which is defined by this function.
        Self(3)
    }
}

impl From<Reason> for RefusalReason {
    fn from(reason: Reason) -> Self {
        Self::of(reason.as_str())
    }
}

impl FromStr for RefusalReason {
    type Err = UnknownRefusal;

    fn from_str(text: &str) -> Result<Self, UnknownRefusal> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(UnknownRefusal)
    }
}

text_fmt!(RefusalReason);

/// A text that names no reason of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the name of a reason why something is refused")]
#[non_exhaustive]
pub struct UnknownRefusal;
