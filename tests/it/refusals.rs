//! The closed list of reasons: each error that refuses something has its own name in it, so that a counter can begin at
//! 0 and no refusal is taken for a rule of the service.

use std::collections::BTreeSet;

use keygate::{
    ManageError, RandomnessError, Reason, Unauthenticated,
    audit::RefusalReason,
    manage::{ImportError, MintError, PermitError, RotateError},
    stages::AcceptedKeys,
    store::Conflict,
    verify::{GenerateError, ParseTokenError},
};

use crate::common::{KG, at};

#[test]
fn the_list_has_no_repeats_and_each_name_has_its_place() {
    let names: Vec<_> = RefusalReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for (place, reason) in RefusalReason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), place);
        assert_eq!(reason.as_str().parse(), Ok(*reason));
        let is_name = |symbol: char| symbol.is_ascii_lowercase() || symbol == '_';
        assert!(!reason.as_str().is_empty() && reason.as_str().chars().all(is_name), "{reason}");
    }
    let edge = [
        (RefusalReason::CLOSED, "closed"),
        (RefusalReason::NOT_FOUND, "not_found"),
        (RefusalReason::PLAINTEXT, "plaintext"),
        (RefusalReason::SERVICE_RULE, "service_rule"),
    ];
    for (reason, name) in edge {
        assert_eq!((reason.as_str(), reason.to_string().as_str()), (name, name));
    }
}

/// An error as the manager has it.
type Error = ManageError<core::fmt::Error, core::fmt::Error>;

#[test]
fn every_refusal_has_its_own_name() {
    let generator = PermitError::Randomness(RandomnessError::new());
    let permit = [
        (PermitError::OtherIssuer, Some("permit_for_other_issuer")),
        (PermitError::TooOld, Some("permit_too_old")),
        (generator, None),
    ];
    let mint = [
        (MintError::ActionNeverAllowed, Some("action_never_allowed")),
        (MintError::ActionNotDeclared, Some("action_not_declared")),
        (MintError::ExpiresInPast, Some("expires_in_past")),
        (MintError::ExpiryRequired, Some("expiry_required")),
        (MintError::Generate(GenerateError::Stuck), None),
        (MintError::KindNotMinted, Some("kind_not_minted")),
        (MintError::LifetimeTooLong, Some("lifetime_too_long")),
        (MintError::Permit(PermitError::TooOld), Some("permit_too_old")),
        (MintError::Permit(generator), None),
        (MintError::ScopeTooLarge, Some("scope_too_large")),
        (MintError::TimeTooLate, Some("time_too_late")),
    ];
    let rotate = [
        (RotateError::Disabled, Some("disabled")),
        (RotateError::Expired, Some("expired")),
        (RotateError::Generate(GenerateError::Exhausted), None),
        (RotateError::InProgress, Some("rotation_in_progress")),
        (RotateError::OverlapTooLong, Some("overlap_too_long")),
        (RotateError::Permit(PermitError::OtherIssuer), Some("permit_for_other_issuer")),
        (RotateError::Revoked, Some("revoked")),
    ];
    let import = [
        (ImportError::CreatedInFuture, Some("created_in_future")),
        (ImportError::Date(MintError::TimeTooLate), Some("time_too_late")),
        (ImportError::ExpiresInPast, Some("expires_in_past")),
        (ImportError::Permit(PermitError::TooOld), Some("permit_too_old")),
    ];
    let errors = permit
        .map(|(error, name)| (Error::Permit(error), name))
        .into_iter()
        .chain(mint.map(|(error, name)| (Error::Mint(error), name)))
        .chain(rotate.map(|(error, name)| (Error::Rotate(error), name)))
        .chain(import.map(|(error, name)| (Error::Import(error), name)))
        .chain(Conflict::ALL.iter().map(|conflict| (Error::Conflict(*conflict), Some(conflict.as_str()))))
        .chain([
            (Error::ActorInvalid, Some("invalid_key")),
            (Error::UserNotDeprovisioned, Some("user_not_deprovisioned")),
            // What failed refuses nothing.
            (Error::Store(core::fmt::Error), None),
            (Error::Directory(core::fmt::Error), None),
        ]);
    for (error, name) in errors {
        // What the error says is the list's own name, and not the one that stands for what is not on it.
        assert_eq!(error.refusal().map(RefusalReason::as_str), name, "{error:?}");
        assert_ne!(error.refusal(), Some(RefusalReason::SERVICE_RULE), "{error:?}");
    }
    for (error, name) in permit {
        assert_eq!(error.as_str(), name);
    }
    for (error, name) in mint {
        assert_eq!(error.as_str(), name);
    }
    for (error, name) in rotate {
        assert_eq!(error.as_str(), name);
    }
    for (error, name) in import {
        assert_eq!(error.as_str(), name);
    }

    for reason in Reason::ALL {
        assert_eq!(RefusalReason::from(*reason).as_str(), reason.as_str());
    }
    let parse = [
        ParseTokenError::ChecksumMismatch,
        ParseTokenError::ForeignIssuer,
        ParseTokenError::Malformed,
        ParseTokenError::UnsupportedVersion,
    ];
    for error in parse {
        assert_eq!(Unauthenticated::NotAToken(error).refusal().as_str(), error.as_str());
    }
    let presented = AcceptedKeys::new(KG).parse("kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d");
    let unknown = presented.and_then(|presented| presented.verify(None, at(0)));
    assert_eq!(unknown.map(|key| key.id()).map_err(|error| error.refusal().as_str()), Err("invalid_key"));
}

/// What is wrong with a credential's place is told by the same list.
#[cfg(feature = "http")]
#[test]
fn every_refused_credential_has_its_own_name() {
    use keygate::http::CredentialError;

    for error in
        [CredentialError::Malformed, CredentialError::Misplaced, CredentialError::Missing, CredentialError::Multiple]
    {
        assert_eq!(error.refusal().as_str(), error.as_str());
    }
}

/// The list has nothing that nobody says: each name but the edge's is an error's.
#[test]
fn every_name_is_somebodys() {
    let known: BTreeSet<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .chain(Conflict::ALL.iter().map(|conflict| conflict.as_str()))
        .chain(["closed", "not_found", "plaintext", "service_rule", "user_not_deprovisioned"])
        .chain([
            "action_never_allowed",
            "action_not_declared",
            "created_in_future",
            "expires_in_past",
            "expiry_required",
        ])
        .chain(["kind_not_minted", "lifetime_too_long", "overlap_too_long", "rotation_in_progress", "scope_too_large"])
        .chain(["time_too_late", "permit_for_other_issuer", "permit_too_old"])
        .chain(["checksum_mismatch", "foreign_issuer", "invalid_key", "malformed", "unsupported_version"])
        .chain(["misplaced", "missing", "multiple"])
        .collect();
    let listed: BTreeSet<_> = RefusalReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(listed, known);
}
