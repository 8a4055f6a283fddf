//! The answers where a key is not created or changed. The manager has told the sink of each.

use keygate::{
    DenialClass, ManageError, Reason,
    audit::OperationKind,
    http::Refusal,
    manage::ManageDenial,
    store::{BoxError, Conflict},
};
use keygate_sqlx::StoreError;

use crate::{
    app::App,
    caller::Caller,
    problem::{Problem, Reply},
};

pub(super) fn refused(app: &App, caller: &Caller, error: &ManageError<BoxError, StoreError>) -> Reply {
    match error {
        ManageError::ActorInvalid => app.responses.answer(Refusal::InvalidKey).into(),
        ManageError::Conflict(Conflict::Absent) => Problem::not_found().into(),
        ManageError::Conflict(conflict) => Problem::conflict(conflict).into(),
        ManageError::Denied(denial) => denied(app, caller, *denial),
        ManageError::Mint(error) if error.as_str().is_some() => Problem::body(error).into(),
        ManageError::Rotate(error) if error.as_str().is_some() => Problem::conflict(error).into(),
        _ => app.responses.answer(Refusal::Unavailable).into(),
    }
}

fn denied(app: &App, caller: &Caller, denial: ManageDenial) -> Reply {
    let reason = denial.reason();
    // Whose key it is, and that there is one, is nobody else's business: not that of a team key, which may only end
    // itself, nor of a user who is gone.
    let is_about_one = !matches!(denial.operation(), OperationKind::Create | OperationKind::List);
    let has_no_rights = caller.user().is_none() || reason == Reason::OwnerDeprovisioned;
    match (denial.class(), caller) {
        (DenialClass::NotAuthenticated, Caller::Key(_)) => app.responses.answer(Refusal::Unusable(reason)).into(),
        _ if denial.reveals_existence() || is_about_one && has_no_rights => Problem::not_found().into(),
        (DenialClass::NotAuthenticated | DenialClass::NotAllowed, _) => Problem::forbidden(reason.as_str()).into(),
        _ => app.responses.answer(Refusal::Unavailable).into(),
    }
}
