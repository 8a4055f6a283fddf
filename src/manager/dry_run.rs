//! Decides a request without carrying it out.

use super::{Failure, KeyManager, ManageError};
use crate::{
    action::Request,
    actor::Actor,
    audit::OperationKind,
    decision::{Decision, Denial, Requirement},
    id::KeyId,
    policy::decide,
    store::{Directory, KeyManagementStore},
    verify::MatchedKey,
};

/// The decision that a request by a key would get now. Nobody presented the secret of the key, so it allows nothing.
#[derive(Clone, Debug)]
pub struct DryRun {
    key: MatchedKey,
    request: Request,
    denial: Option<Denial>,
}

impl DryRun {
    /// Returns why the request would be denied; `None` if it would be allowed.
    #[must_use]
    pub const fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// Returns what would suffice where the request would be denied. Show it only to people who may see the key.
    #[must_use]
    pub fn requirement(&self) -> Option<Requirement<'_>> {
        self.denial?.requirement(&self.key, &self.request)
    }
}

impl<S: KeyManagementStore, D: Directory> KeyManager<S, D> {
    /// Decides a request as the gate would decide it for a key, for an actor who may list the keys of its owner.
    ///
    /// ```
    /// use keygate::{
    ///     Action, Actor, Grant, Issuer, KeyManager, MemoryStore, NewKeySpec, Permission, Request, Scope, Validity,
    /// };
    ///
    /// # pollster::block_on(async {
    /// let keys = KeyManager::new(Issuer::from_static("acme"), MemoryStore::new());
    /// let actor = Actor::system("support")?;
    /// let grant = Grant::team("core".parse()?, Permission::metrics_only(Scope::All));
    /// let key = keys.create(&actor, NewKeySpec::new(grant, "grafana".parse()?, Validity::NEVER_EXPIRES)).await?.record;
    ///
    /// let deploy = Request::new("core".parse()?, Action::Deploy);
    /// let dry_run = keys.dry_run(&actor, key.id(), deploy).await?;
    /// assert_eq!(dry_run.requirement().unwrap().to_string(), "a key with level `full`");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same as for [`KeyManager::find`].
    pub async fn dry_run(&self, actor: &Actor, id: KeyId, request: Request) -> Result<DryRun, Failure<S, D>> {
        let record = self.find(actor, id).await?;
        let membership = match record.grant().user() {
            Some(user) => {
                let membership = self.directory.membership(user, &request.team).await;
                let membership = membership.map_err(ManageError::Directory);
                self.report(|| actor.principal(), OperationKind::List, Some(id), None, &membership);
                Some(membership?)
            }
            None => None,
        };
        let now = self.now();
        let key = MatchedKey::unpresented(record, now);
        let denial = match decide(&key, membership, &request, now) {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial),
        };
        Ok(DryRun { key, request, denial })
    }
}
