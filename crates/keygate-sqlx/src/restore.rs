//! Repeats the revocations that a restored backup lacks.

use core::error::Error;

use keygate::{
    Actor, Done, KeyId, KeyManager, ManageError, System,
    audit::{Event, EventKind},
    store::{Conflict, Directory, KeyManagementStore},
};

/// Repeats the revocations in an exported log, and returns the keys that this revoked.
///
/// It is for a store that was restored from a backup. A key that is revoked there keeps its time and cause, and a key
/// that was created after the backup is missing, so repeating the call does nothing. Each key is a transaction of its
/// own, and one that fails does not keep the others from being revoked.
///
/// The page `keygate::docs::operating` lists the other steps.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use keygate::{Actor, Issuer, KeyManager, RevocationCause, System};
/// use keygate_sqlx::{LogQuery, LoggedEvent, Settings, Sqlite, SqliteStore, revoke_again};
///
/// # use keygate::{EnvironmentScope, Grant, NewKeySpec, Permission, Validity};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (path, backup) = (directory.path().join("keys.db"), directory.path().join("backup.db"));
/// const ACME: Issuer = Issuer::from_static("acme");
/// # let database = Sqlite::create(&path, Settings::new()).await?;
/// # SqliteStore::migrate(&database).await?;
/// # let store = SqliteStore::open(&database).await?;
/// # let keys = KeyManager::new(ACME, store.clone());
/// # let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
/// # let spec = NewKeySpec::new(grant, "first".parse()?, Validity::NEVER_EXPIRES);
/// # let system = Actor::system("example")?;
/// # let id = keys.create(&system, spec).await?.record.id();
/// # sqlx::query("VACUUM INTO $1").bind(backup.to_str()).execute(database.pool()).await?;
/// // After the backup, a key is revoked, and the log exported: a line for each event.
/// let _ = keys.revoke(&system, id, RevocationCause::Leaked).await?;
/// let mut export = String::new();
/// for logged in store.events(&LogQuery::new()).await? {
///     export += &serde_json::to_string(&logged)?;
///     export.push('\n');
/// }
///
/// // When the backup was restored, it opens again.
/// let restored = SqliteStore::open(&Sqlite::open(&backup, Settings::new()).await?).await?;
/// restored.begin_new_life().await?;
/// let exported = export.lines().map(serde_json::from_str).collect::<Result<Vec<LoggedEvent>, _>>()?;
/// let keys = KeyManager::new(ACME, restored.clone());
/// let events = exported.iter().map(|logged| logged.event.clone());
/// assert_eq!(revoke_again(&keys, &System::new("restored a backup")?, events).await?, [id]);
///
/// // The export goes on where it was.
/// let mut query = LogQuery::new();
/// query.after = exported.last().map(|logged| logged.sequence);
/// let since = restored.events(&query).await?;
/// assert_eq!(since.iter().map(|logged| logged.event.kind.as_str()).collect::<Vec<_>>(), ["revoked"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`NotAllRevoked`], with each event that could not be repeated: its key may open. Mend the cause and call it again.
pub async fn revoke_again<S: KeyManagementStore, D: Directory>(
    keys: &KeyManager<S, D>,
    system: &System,
    events: impl IntoIterator<Item = Event, IntoIter: Send>,
) -> Result<Vec<KeyId>, NotAllRevoked<S::Error, D::Error>> {
    let actor = Actor::System(system.clone());
    let (mut revoked, mut failed) = (Vec::new(), Vec::new());
    for event in events {
        match repeat(keys, &actor, &event).await {
            Ok(None) => {}
            Ok(Some(id)) => revoked.push(id),
            Err(why) => failed.push((event, why)),
        }
    }
    if failed.is_empty() { Ok(revoked) } else { Err(NotAllRevoked { revoked, failed }) }
}

/// Repeats one event, and returns the key if it revoked one.
async fn repeat<S: KeyManagementStore, D: Directory>(
    keys: &KeyManager<S, D>,
    actor: &Actor,
    event: &Event,
) -> Result<Option<KeyId>, NotRepeated<S::Error, D::Error>> {
    match (&event.kind, event.key) {
        (EventKind::Revoked { cause, .. }, Some(id)) => match keys.revoke(actor, id, *cause).await {
            Ok(Done::Changed) => Ok(Some(id)),
            Ok(_) => Ok(None),
            Err(ManageError::Conflict(Conflict::Absent)) if is_open(keys, id).await? => Err(NotRepeated::OtherIssuer),
            Err(ManageError::Conflict(Conflict::Absent)) => Ok(None),
            Err(error) => Err(error.into()),
        },
        (EventKind::Unknown, None) => Err(NotRepeated::UnknownKind),
        (EventKind::Unknown, Some(id)) if is_open(keys, id).await? => Err(NotRepeated::UnknownKind),
        _ => Ok(None),
    }
}

/// Returns `true` if the store has a key that is not revoked, also one that the manager does not manage.
async fn is_open<S: KeyManagementStore, D: Directory>(
    keys: &KeyManager<S, D>,
    id: KeyId,
) -> Result<bool, ManageError<S::Error, D::Error>> {
    let record = keys.store().find(id).await.map_err(ManageError::Store)?;
    Ok(record.is_some_and(|record| !record.is_revoked()))
}

/// The error if [`revoke_again`] could not repeat all revocations.
#[derive(Debug, thiserror::Error)]
#[error("of the revocations in the log, {} were repeated, and {} could not be", revoked.len(), failed.len())]
#[non_exhaustive]
pub struct NotAllRevoked<S: Error + 'static, D: Error + 'static> {
    /// The keys that were revoked.
    pub revoked: Vec<KeyId>,
    /// The events that were not repeated, each with the reason.
    pub failed: Vec<(Event, NotRepeated<S, D>)>,
}

/// Why an event was not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRepeated<S: Error + 'static, D: Error + 'static> {
    /// The manager failed, or could not read the key.
    #[error(transparent)]
    Manage(#[from] ManageError<S, D>),
    /// The key is of another issuer; see [`KeyManager::with_issuers`].
    #[error("the key is there, and of an issuer that this manager does not manage")]
    OtherIssuer,
    /// A later release wrote the event, and it may have revoked the key.
    #[error("the event is of a kind that this release does not know")]
    UnknownKind,
}
