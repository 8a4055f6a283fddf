//! From a caller and a target to a permit, or to the answer that refuses it.

use std::sync::Arc;

use keygate::{
    BoxError, Conflict, DenialClass, Directory, KeyId, KeyRecord, KeyStore, List, ManageDenial, ManageError,
    Membership, Operation, Owner, Permit, Reason, RotateError, UnixTime, authorize_operation, tower::AuditSink,
};

use crate::{
    app::App,
    caller::Caller,
    problem::{Problem, Reply},
};

/// Decides an operation on the key with this id.
pub(super) async fn permit_on<O: Operation>(
    app: &App,
    caller: &Caller,
    key: &str,
    operation: impl FnOnce(Arc<KeyRecord>) -> O,
    now: UnixTime,
) -> Result<Permit<O>, Reply> {
    let not_found = || Reply::from(Problem::not_found());
    let id: KeyId = key.parse().map_err(|_| not_found())?;
    // Who may do nothing to any such key is refused before the key is looked up, so that nothing depends on whether it
    // exists: a team key may only end itself, and who is deprovisioned may not even list their own keys.
    match (caller, caller.actor().user().cloned()) {
        (Caller::Key(own), None) if own.id() != id => return Err(not_found()),
        (_, None) => {}
        (_, Some(user)) => {
            let own = Owner::Personal(user);
            let _ = permit(app, caller, List(own.clone()), &own, now).await?;
        }
    }
    // With a cache the record can be a little old. Its owner never changes, and whatever else has changed in the
    // meantime is refused by the store itself.
    let record = app.store().find(id).await.map_err(|error| failed(app, &error))?.ok_or_else(not_found)?;
    let owner = record.grant().owner();
    permit(app, caller, operation(record), &owner, now).await
}

/// Decides an operation; `owner` is its target's.
pub(super) async fn permit<O: Operation>(
    app: &App,
    caller: &Caller,
    operation: O,
    owner: &Owner,
    now: UnixTime,
) -> Result<Permit<O>, Reply> {
    let membership = membership(app, caller, owner).await?;
    authorize_operation(&caller.actor(), operation, membership, now).map_err(|denial| {
        app.outbox.refused(caller.actor().to_event(denial, now));
        denied(app, caller, denial)
    })
}

/// Looks up what the acting user is in the target's team, now.
async fn membership(app: &App, caller: &Caller, owner: &Owner) -> Result<Option<Membership>, Reply> {
    let Some(user) = caller.actor().user().cloned() else { return Ok(None) };
    let membership = match owner {
        Owner::Team(team) => app.members.membership(user, team.clone()).await,
        // The rules only ask whether the user is still there, which is the same in every team.
        Owner::Personal(_) => app.members.membership(user, app.any_team.clone()).await,
    };
    membership.map(Some).map_err(|error| failed(app, &error))
}

fn denied(app: &App, caller: &Caller, denial: ManageDenial) -> Reply {
    let reason = denial.reason();
    match (denial.class(), caller) {
        // Whose key it is, and that there is one, is nobody else's business.
        _ if denial.reveals_existence() || reason == Reason::OtherUser => Problem::not_found().into(),
        (DenialClass::NotAuthenticated, Caller::Key(_)) => app.responses.unusable_key(reason).into(),
        (DenialClass::NotAuthenticated | DenialClass::NotAllowed, _) => Problem::forbidden(reason.as_str()).into(),
        _ => app.responses.unavailable().into(),
    }
}

/// Answers a change that did not take place.
pub(super) fn refused(app: &App, error: ManageError<BoxError>) -> Reply {
    match error {
        ManageError::Conflict(Conflict::Absent) => Problem::not_found().into(),
        ManageError::Conflict(refusal) => Problem::conflict(refusal).into(),
        ManageError::Rotate(RotateError::Generate(_)) => failed(app, &error),
        ManageError::Rotate(error) => Problem::conflict(error).into(),
        error => failed(app, &error),
    }
}

pub(super) fn failed(app: &App, error: &(dyn core::error::Error + 'static)) -> Reply {
    app.outbox.failed(error);
    app.responses.unavailable().into()
}
