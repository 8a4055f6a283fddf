//! What was revoked after a backup is revoked again from the exported log, as the page on operating says.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    File, Log, NOW, Place, Server, changed, disable, enable, found, logged, manager, mint, on, page, personal, revoke,
    rotate,
};
use keygate::{
    KeyId, ManageError, RevocationCause, Rotation, Status, System, Validity,
    audit::Event,
    store::{ChangeFeed, Changes, KeyManagementStore, Logged},
};
use keygate_sqlx::{LoggedEvent, NotRepeated, StoreError, revoke_again};

both!(replays_revocations_once, replays_all_that_it_can, an_export_goes_on_after_each_restored_backup);

async fn replays_revocations_once<P: Place>(place: &P) {
    let (store, restored) = (place.open().await, place.open_empty().await);
    let mut ids = Vec::new();
    for name in ["revoked", "leaked", "rotated", "untouched"] {
        let new = mint(personal("ada"), name, Validity::NEVER_EXPIRES, NOW);
        ids.push(new.record().id());
        // Both have what was there when the backup was made.
        assert_eq!(store.insert(new.clone()).await.unwrap(), Ok(Logged));
        assert_eq!(restored.insert(new).await.unwrap(), Ok(Logged));
    }
    let [revoked, leaked, rotated, untouched] = ids.try_into().unwrap();
    changed(&store, revoke(&found(&store, revoked).await, RevocationCause::Requested)).await;
    changed(&store, disable(&found(&store, leaked).await)).await;
    changed(&store, revoke(&found(&store, leaked).await, RevocationCause::Leaked)).await;
    changed(&store, rotate(&found(&store, rotated).await, Rotation::CutOver).change).await;
    let later = common::stored(&store, personal("ada"), "later").await;
    changed(&store, revoke(&later, RevocationCause::Unused)).await;

    // The log goes away from the database as text.
    let exported: Vec<String> =
        logged(&store).await.iter().map(|logged| serde_json::to_string(logged).unwrap()).collect();

    let known = revision(&restored).await;
    restored.begin_new_life().await;
    assert!(matches!(restored.changes_since(Some(known)).await.unwrap(), Changes::Everything { .. }));
    assert_eq!(replay(&restored, &exported).await, [revoked, leaked]);
    let after_once = logged(&restored).await;
    for (id, cause) in [(revoked, RevocationCause::Requested), (leaked, RevocationCause::Leaked)] {
        let status = found(&restored, id).await.status();
        assert_eq!(status, Status::Revoked { at: NOW, cause });
    }
    assert!(!found(&restored, untouched).await.is_revoked());
    assert_eq!(after_once.len(), 6);
    assert!(replay(&restored, &exported).await.is_empty());
    assert_eq!(logged(&restored).await, after_once);
}

/// A key that cannot be read, one of another issuer and an event of a later release are named, and keep no other key
/// open.
async fn replays_all_that_it_can<P: Place>(place: &P) {
    let store = place.open().await;
    let mut keys = Vec::new();
    for name in ["unreadable", "readable", "of-another-issuer", "of-a-later-release"] {
        keys.push(common::stored(&store, personal("ada"), name).await);
        changed(&store, revoke(keys.last().unwrap(), RevocationCause::Leaked)).await;
    }
    let mut events: Vec<Event> = logged(&store).await.into_iter().map(|logged| logged.event).collect();
    let mut later = serde_json::to_value(events.last().unwrap()).unwrap();
    later["version"] = 2.into();
    later["cause"] = "unheard of".into();
    *events.last_mut().unwrap() = serde_json::from_value(later).unwrap();
    // As in a backup of before.
    place
        .corrupt(&format!(
            "UPDATE keygate_keys SET status = 'active', revoked_at = NULL, revoked_cause = NULL; \
             UPDATE keygate_keys SET labels = '{{x' WHERE id = '{}'; UPDATE keygate_keys SET issuer = 'former' \
             WHERE id = '{}'",
            keys[0].id(),
            keys[2].id()
        ))
        .await;
    let (manager, system) = (manager(store.clone()), System::new("restored a backup").unwrap());
    for revoked in [vec![keys[1].id()], vec![]] {
        let error = revoke_again(&manager, &system, events.clone()).await.unwrap_err();
        assert_eq!(error.revoked, revoked);
        let failed: Vec<_> = error.failed.iter().map(|(event, why)| (event.key.unwrap(), why)).collect();
        let [unreadable, of_another_issuer, of_a_later_release] = failed.as_slice() else { panic!("{failed:?}") };
        assert_eq!(unreadable.0, keys[0].id());
        assert!(matches!(unreadable.1, NotRepeated::Manage(ManageError::Store(StoreError::Corrupt { .. }))));
        assert_eq!(of_another_issuer.0, keys[2].id());
        assert!(matches!(of_another_issuer.1, NotRepeated::OtherIssuer));
        assert_eq!(of_a_later_release.0, keys[3].id());
        assert!(matches!(of_a_later_release.1, NotRepeated::UnknownKind));
        assert!(found(&store, keys[1].id()).await.is_revoked());
        let text = format!("of the revocations in the log, {} were repeated, and 3 could not be", revoked.len());
        assert_eq!(error.to_string(), text);
    }
}

/// Who exports the log goes on behind the last number that they have: what comes after the restored state is behind it,
/// though the same backup is restored twice.
async fn an_export_goes_on_after_each_restored_backup<P: Place>(place: &P) {
    let store = place.open().await;
    let new = mint(personal("ada"), "phone", Validity::NEVER_EXPIRES, NOW);
    for number in 0..10 {
        common::stored(&store, personal("bob"), &format!("key-{number}")).await;
    }
    let mut exported = logged(&store).await;
    for _ in 0..2 {
        let restored = place.open_empty().await;
        common::stored(&restored, personal("ada"), "laptop").await;
        restored.begin_new_life().await;
        assert_eq!(restored.insert(new.clone()).await.unwrap(), Ok(Logged));
        for _ in 0..20 {
            changed(&restored, disable(&found(&restored, new.record().id()).await)).await;
            changed(&restored, enable(&found(&restored, new.record().id()).await)).await;
        }
        let last = exported.last().map(|logged| logged.sequence);
        let since = restored.events(&page(last, 1_000)).await.unwrap();
        assert_eq!(since, logged(&restored).await.split_off(1), "behind {last:?}");
        assert_eq!(since.len(), 41);
        exported.extend(since);
    }
}

/// Where the row of the revision is missing, no other history begins, and that is an error.
#[tokio::test]
async fn begins_no_life_without_a_revision() {
    const GONE: &str = "DELETE FROM keygate_revision";
    let is_told = |answer| matches!(answer, Err(StoreError::Corrupt { .. }));
    on(async |file: &File| {
        let store = file.open().await;
        file.execute(GONE).await.unwrap();
        assert!(is_told(store.begin_new_life().await));
    })
    .await;
    on(async |server: &Server| {
        let store = server.open().await;
        server.execute(GONE).await.unwrap();
        assert!(is_told(store.begin_new_life().await));
    })
    .await;
}

async fn revision<S: ChangeFeed<Error = StoreError>>(store: &S) -> keygate::store::Revision {
    store.changes_since(None).await.unwrap().revision()
}

async fn replay<S>(store: &S, exported: &[String]) -> Vec<KeyId>
where
    S: KeyManagementStore<Error = StoreError> + Clone,
{
    let events: Vec<LoggedEvent> = exported.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let events: Vec<Event> = events.into_iter().map(|logged| logged.event).collect();
    revoke_again(&manager(store.clone()), &System::new("restored a backup").unwrap(), events).await.unwrap()
}
