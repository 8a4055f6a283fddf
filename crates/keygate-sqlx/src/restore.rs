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
