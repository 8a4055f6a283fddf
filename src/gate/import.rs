//! Imported keys, in a store.

use super::{KeyManager, ManageError};
use crate::{
    event::Event,
    manage::{Create, Import, Permit, Upgrade},
    store::{Conflict, KeyManagementStore},
    time::UnixTime,
    verify::MatchedKey,
};

impl<S: KeyManagementStore> KeyManager<S> {
    /// Imports a legacy key; see [`legacy`](crate::legacy) for an example.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Import`] if the key was made after `now`.
    /// - [`ManageError::Conflict`] with [`Conflict::IdTaken`] if it was imported before, whatever has become of it since, or
    ///   with [`Conflict::NameTaken`] if another key of the owner has the name.
    /// - [`ManageError::Store`] if the store failed. Whether the key exists then, importing it again tells.
    pub async fn import(
        &self,
        permit: Permit<Create>,
        import: Import,
        now: UnixTime,
    ) -> Result<Event, ManageError<S::Error>> {
        let imported = permit.import(import, now)?;
        self.store().insert(imported.key).await.map_err(ManageError::Store)?.map_err(ManageError::Conflict)?;
        Ok(imported.event)
    }

    /// Saves the [better digest](Upgrade) of an imported secret that was presented, if that is due; without one, nothing
    /// happens.
    ///
    /// Call it off the request's path, and never fail a request because of it. If somebody upgraded or rotated the key in
    /// the meantime, theirs stays, and there is no event.
    ///
    /// Of a [custom format](crate::legacy::LegacyFormat::custom) that gives several texts one hash, only the text that was
    /// presented opens the key afterwards.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Conflict`] if the key was revoked or disabled in the meantime.
    /// - [`ManageError::Store`] if the store failed; the next use of the key offers it again.
    pub async fn upgrade(&self, key: &MatchedKey, now: UnixTime) -> Result<Option<Event>, ManageError<S::Error>> {
        let Some(Upgrade { change, event }) = Upgrade::of(key, now) else { return Ok(None) };
        match self.store().rotate(change).await.map_err(ManageError::Store)? {
            Ok(()) => Ok(Some(event)),
            Err(Conflict::Changed) => Ok(None),
            Err(conflict) => Err(ManageError::Conflict(conflict)),
        }
    }
}
