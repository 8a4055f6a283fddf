//! Keys made elsewhere, in a store.

use super::{KeyManager, ManageError};
use crate::{
    event::Event,
    manage::{Create, Import, Permit, Upgrade},
    store::{ManagedKeyStore, Refusal},
    time::UnixTime,
    verify::VerifiedKey,
};

impl<S: ManagedKeyStore> KeyManager<S> {
    /// Takes a key in that was made elsewhere; see [`foreign`](crate::foreign) for an example.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Import`] if the key was made after `now`.
    /// - [`ManageError::Refused`] with [`Refusal::IdTaken`] if it was imported before, whatever has become of it since, or
    ///   with [`Refusal::NameTaken`] if another key of the owner has the name.
    /// - [`ManageError::Store`] if the store failed. Whether the key exists then, importing it again tells.
    pub async fn import(
        &self,
        permit: Permit<Create>,
        import: Import,
        now: UnixTime,
    ) -> Result<Event, ManageError<S::Error>> {
        let imported = permit.import(import, now)?;
        self.store().insert(imported.key).await.map_err(ManageError::Store)?.map_err(ManageError::Refused)?;
        Ok(imported.event)
    }

    /// Saves the [better digest](Upgrade) of an imported secret that was presented, if that is due; without one, nothing
    /// happens.
    ///
    /// Call it off the request's path, and never fail a request because of it. If somebody upgraded or rotated the key in
    /// the meantime, theirs stays, and there is no event.
    ///
    /// Of a [custom format](crate::foreign::ForeignFormat::custom) that gives several texts one hash, only the text that was
    /// presented opens the key afterwards.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Refused`] if the key was revoked or disabled in the meantime.
    /// - [`ManageError::Store`] if the store failed; the next use of the key offers it again.
    pub async fn upgrade(&self, key: &VerifiedKey, now: UnixTime) -> Result<Option<Event>, ManageError<S::Error>> {
        let Some(Upgrade { change, event }) = Upgrade::of(key, now) else { return Ok(None) };
        match self.store().rotate(change).await.map_err(ManageError::Store)? {
            Ok(()) => Ok(Some(event)),
            Err(Refusal::Changed) => Ok(None),
            Err(refusal) => Err(ManageError::Refused(refusal)),
        }
    }
}
