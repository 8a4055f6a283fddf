//! Repeats the revocations that a restored backup lacks.

use keygate::{
    Actor, Done, KeyId, KeyManager, ManageError, System,
    audit::{Event, EventKind},
    store::{Conflict, Directory, KeyManagementStore},
};

/// Repeats the revocations in an exported log, and returns the keys that this revoked.
///
/// It is for a store that was restored from a backup. A key that is revoked there keeps its time and cause, and a key
/// that was created after the backup is missing, so repeating the call does nothing. Each key is a transaction of its
/// own: after an error, begin again.
///
/// The page `keygate::docs::operating` lists the other steps.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use keygate::{Issuer, KeyManager, System};
/// use keygate_sqlx::{LogQuery, Settings, Sqlite, SqliteStore, revoke_again};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("restored.db");
/// # let database = Sqlite::create(&path, Settings::new()).await?;
/// # SqliteStore::migrate(&database).await?;
/// let restored = SqliteStore::open(&database).await?;
/// restored.begin_new_life().await?;
/// // Wherever you exported the log to:
/// # let read_exported_log = async || restored.events(&LogQuery::new()).await;
/// let exported = read_exported_log().await?;
///
/// let keys = KeyManager::new(Issuer::from_static("acme"), restored.clone());
/// let events = exported.into_iter().map(|logged| logged.event);
/// assert!(revoke_again(&keys, &System::new("restored a backup")?, events).await?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The same as for [`KeyManager::revoke`]; some keys may be revoked then.
pub async fn revoke_again<S: KeyManagementStore, D: Directory>(
    keys: &KeyManager<S, D>,
    system: &System,
    events: impl IntoIterator<Item = Event, IntoIter: Send>,
) -> Result<Vec<KeyId>, ManageError<S::Error, D::Error>> {
    let actor = Actor::System(system.clone());
    let mut revoked = Vec::new();
    for event in events {
        let (EventKind::Revoked { cause, .. }, Some(id)) = (event.kind, event.key) else { continue };
        match keys.revoke(&actor, id, cause).await {
            Ok(Done::Changed) => revoked.push(id),
            Ok(_) | Err(ManageError::Conflict(Conflict::Absent)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(revoked)
}
