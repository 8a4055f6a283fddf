//! What was revoked after a backup is revoked again from the exported log, as the page on operating says.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Log, NOW, Place, changed, disable, enable, found, logged, manager, mint, page, personal, revoke, rotate};
use keygate::{
    KeyId, RevocationCause, Rotation, Status, System, Validity,
    audit::Event,
    store::{ChangeFeed, Changes, KeyManagementStore, Logged},
};
use keygate_sqlx::{LoggedEvent, StoreError, revoke_again};

both!(replays_revocations_once, an_export_goes_on_after_each_restored_backup);

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
