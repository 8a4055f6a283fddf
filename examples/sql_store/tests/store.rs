//! What the conformance suite does not ask of a store: extremes, several openers, rows that are no records.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use core::error::Error as _;

use common::{ISSUER, Members, NOW, Place, found, mint, permit, personal, stored};
use keygate::{
    Actor, Create, Directory, EnvironmentScope, Gate, Grant, Import, KeyId, KeyManagementStore, KeyManager, KeyRecord,
    KeyStore, ListBy, Membership, ModelScope, NewKey, PageRequest, Permission, Rotate, Rotation, SecretSlot, Status,
    SysRng, UnixTime, Validity, authorize_operation,
    legacy::{LegacyFormat, LegacyHash},
};
use keygate_sql_store::{CorruptRow, StoreError};

both!(
    round_trips_whatever_is_legal,
    round_trips_long_lists,
    sees_what_others_changed,
    opens_again_and_all_at_once,
    takes_no_row_for_a_record,
    keeps_the_algorithms_of_digests,
    takes_no_digest_of_an_unknown_algorithm,
    says_that_the_tables_are_gone,
    reads_standings,
);

async fn round_trips_whatever_is_legal<P: Place>(place: &P) {
    let store = place.open().await;
    let every_symbol: String = ('!'..='~').collect();
    let times = Validity::between(UnixTime::MIN, UnixTime::MAX).unwrap();
    for key in [
        mint(personal(&every_symbol), "a", times, UnixTime::MIN),
        mint(personal("';DROP-TABLE-keygate_keys;--"), "a", Validity::until(UnixTime::MIN), UnixTime::MAX),
        mint(restricted(&["all", "%", r#"["\"#, &every_symbol]), "b", Validity::starting_at(UnixTime::MAX), NOW),
        created_by_user(&every_symbol),
    ] {
        let record = key.record().clone();
        assert_eq!(store.insert(key).await.unwrap(), Ok(()));
        assert_eq!(found(&store, record.id()).await, record);
        // Now with everything that was absent so far.
        store.touch(record.id(), UnixTime::MIN, UnixTime::MAX).await.unwrap();
        let rotated = rotate(&store, record.id()).await;
        let page = PageRequest { after: None, limit: 10.try_into().unwrap() };
        for by in [ListBy::Creator(record.created_by().clone()), ListBy::Owner(record.grant().owner())] {
            let page = store.list(by, page).await.unwrap();
            assert!(page.records.iter().any(|listed| **listed == rotated));
        }
        assert_eq!(store.revoke(record.id(), UnixTime::MIN).await.unwrap(), Ok(UnixTime::MIN));
        assert_eq!(found(&store, record.id()).await.status(), Status::Revoked { at: UnixTime::MIN });
    }
}

async fn round_trips_long_lists<P: Place>(place: &P) {
    let store = place.open().await;
    let models: Vec<_> = (0..100_000).map(|number| format!("model-{number}-'\"\\%")).collect();
    let record = stored(&store, restricted(&models), "long").await;
    assert_eq!(record.grant().permission().unwrap().models().members().unwrap().len(), models.len());
    assert_eq!(*record.grant(), restricted(&models));
}

/// Rotates so that both secrets live as long as they can.
async fn rotate(store: &impl KeyManagementStore<Error = StoreError>, id: KeyId) -> KeyRecord {
    let record = found(store, id).await;
    let start = Rotation::Start { overlap: core::time::Duration::MAX };
    if let Ok(rotated) = permit(Rotate(record.clone().into())).rotate(ISSUER, start, &mut SysRng, NOW) {
        assert_eq!(store.rotate(rotated.change).await.unwrap(), Ok(()));
        let rotated = found(store, id).await;
        assert_eq!(rotated.previous().unwrap().ends_at, UnixTime::MAX);
        assert_eq!(rotated.last_used_at(), Some(UnixTime::MIN));
        return rotated;
    }
    record
}

async fn sees_what_others_changed<P: Place>(place: &P) {
    let (one, other) = (place.open().await, place.open().await);
    for number in 0..30 {
        let key = stored(&one, personal("ada"), &format!("key-{number}")).await;
        assert_eq!(found(&other, key.id()).await, key);
        assert_eq!(other.revoke(key.id(), NOW).await.unwrap(), Ok(NOW));
        assert_eq!(found(&one, key.id()).await.status(), Status::Revoked { at: NOW });
    }
}

async fn opens_again_and_all_at_once<P: Place>(place: &P) {
    let (one, two, three, four) = tokio::join!(place.open(), place.open(), place.open(), place.open());
    let key = stored(&one, personal("ada"), "laptop").await;
    for store in [two, three, four, place.open().await] {
        assert_eq!(found(&store, key.id()).await, key);
    }
}

async fn takes_no_row_for_a_record<P: Place>(place: &P) {
    let store = place.open().await;
    let mut keys = Vec::new();
    for (number, (guard, set, column)) in NO_RECORDS.iter().enumerate() {
        let validity = Validity::between(NOW, UnixTime::MAX).unwrap();
        let key = mint(restricted(&["m1"]), &format!("key-{number}"), validity, NOW);
        let id = key.record().id();
        store.insert(key).await.unwrap().unwrap();
        rotate_shortly(&store, id).await;
        let update = format!("UPDATE keygate_keys SET {set} WHERE id = '{id}'");
        if *guard == Guard::Constraint {
            assert!(place.execute(&update).await.is_err(), "{set}");
        }
        found(&store, id).await;
        keys.push((id, update, column));
    }
    let updates: Vec<_> = keys.iter().map(|(_, update, _)| update.as_str()).collect();
    place.corrupt(&updates.join("; ")).await;
    for (id, update, column) in &keys {
        let error = store.find(*id).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt(CorruptRow { column: named, .. }) if named == **column),
            "{update}"
        );
        assert_eq!(error.to_string(), "a stored row is no record");
        assert_eq!(error.source().unwrap().to_string(), format!("column `{column}` does not hold what it must"));
    }
    // A list does not leave out what it cannot read, and what cannot be read can still be ended.
    let owner = restricted(&["m1"]).owner();
    let page = PageRequest { after: None, limit: 100.try_into().unwrap() };
    assert!(matches!(store.list(ListBy::Owner(owner), page).await, Err(StoreError::Corrupt(_))));
    let (id, ..) = keys.first().unwrap();
    assert_eq!(store.revoke(*id, NOW).await.unwrap(), Ok(NOW));
}

#[derive(PartialEq)]
enum Guard {
    /// The database refuses it already.
    Constraint,
    /// It is refused when it is read.
    Reading,
}

/// What a row of a rotated team key must not be changed to, and the columns that are then named.
const NO_RECORDS: &[(Guard, &str, &str)] = {
    use Guard::{Constraint, Reading};
    &[
        (Constraint, "models = NULL", "owner_kind, level, environments, models"),
        (Constraint, "environments = NULL", "owner_kind, level, environments, models"),
        (Constraint, "level = NULL", "owner_kind, level, environments, models"),
        (Constraint, "owner_kind = 'personal'", "owner_kind, level, environments, models"),
        (Constraint, "owner_kind = 'nobody'", "owner_kind"),
        (Constraint, "level = 'admin'", "level"),
        (Constraint, "level = 'full'", "level, environments, models"),
        (Constraint, "level = 'metrics_only'", "level, environments, models"),
        (Constraint, "models = '[]'", "models"),
        (Constraint, "models = 'ALL'", "models"),
        (Constraint, "environments = ''", "environments"),
        (Reading, "environments = '[\"development\"]'", "environments"),
        (Reading, "models = '[\"m1\", 1]'", "models"),
        (Reading, "models = '[\"m1\"'", "models"),
        (Reading, "owner_id = ''", "owner_id"),
        (Reading, "name = 'Not a name'", "name"),
        (Constraint, "creator_id = 'ada'", "creator_kind, creator_id"),
        (Constraint, "creator_kind = 'user'", "creator_id"),
        (Constraint, "status = 'gone'", "status, revoked_at"),
        (Constraint, "status = 'revoked'", "status, revoked_at"),
        (Constraint, "revoked_at = 5", "status, revoked_at"),
        (Constraint, "current_digest = substr(current_digest, 1, 27)", "current_digest"),
        (Constraint, "previous_digest = NULL", "previous_digest, previous_ends_at"),
        (Constraint, "previous_ends_at = NULL", "previous_digest, previous_ends_at"),
        (Constraint, "expires_at = previous_ends_at - 1", "not_before, expires_at, previous_ends_at"),
        (Constraint, "not_before = expires_at", "not_before, expires_at, previous_ends_at"),
    ]
};

/// A key that was imported, upgraded and rotated: each step is another algorithm in a column.
async fn keeps_the_algorithms_of_digests<P: Place>(place: &P) {
    const OLD: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha512);
    static FORMATS: [LegacyFormat; 1] = [OLD];
    let (store, text) = (place.open().await, "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK");
    let (gate, manager) = (Gate::new(ISSUER).accepting(&FORMATS), KeyManager::new(ISSUER, store.clone()));
    let hash = "e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
                6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d";
    let legacy_key = OLD.stored(Some("Xj6zVG9w"), hash.parse().unwrap()).unwrap();
    let import =
        Import { legacy_key, name: "old".parse().unwrap(), validity: Validity::NEVER_EXPIRES, created_at: NOW };
    let imported = permit(Create(personal("ada"))).import(import.clone(), NOW).unwrap();
    assert_eq!(store.insert(imported.key.clone()).await.unwrap(), Ok(()));
    let again = manager.import(permit(Create(personal("ada"))), import, NOW).await;
    assert_eq!(again.unwrap_err().to_string(), "the store refused the change");

    let algorithms = async || {
        let record = found(&store, legacy_key.id()).await;
        [Some(record.current()), record.previous().map(|previous| previous.digest)]
            .map(|digest| digest.map_or("none", |digest| digest.algorithm().as_str()))
    };
    let opens = async || gate.authenticate(&store, text, NOW).await.unwrap();
    assert_eq!(found(&store, legacy_key.id()).await, *imported.key.record());
    assert_eq!(algorithms().await, ["sha512-v1", "none"]);
    let key = opens().await.unwrap();
    assert!(manager.upgrade(&key, NOW).await.unwrap().is_some());
    assert_eq!(manager.upgrade(&key, NOW).await.unwrap(), None);
    assert_eq!(algorithms().await, ["legacy-v1", "none"]);
    rotate_shortly(&store, legacy_key.id()).await;
    assert_eq!(algorithms().await, ["v1", "legacy-v1"]);
    assert_eq!(opens().await.unwrap().slot(), SecretSlot::Previous);
    assert_eq!(manager.upgrade(&key, NOW).await.unwrap(), None);
    assert_eq!(algorithms().await, ["v1", "legacy-v1"]);
}

async fn takes_no_digest_of_an_unknown_algorithm<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let is_postgres = place.url().starts_with("postgres");
    let unknown = if is_postgres { "decode(repeat('00', 29), 'hex')" } else { "zeroblob(29)" };
    let update = format!("UPDATE keygate_keys SET current_digest = {unknown} WHERE id = '{}'", key.id());
    place.execute(&update).await.unwrap();
    let error = store.find(key.id()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(CorruptRow { column: "current_digest", .. })), "{error:?}");
}

async fn rotate_shortly(store: &impl KeyManagementStore<Error = StoreError>, id: KeyId) {
    let start = Rotation::Start { overlap: core::time::Duration::from_secs(60) };
    let record = found(store, id).await.into();
    let change = permit(Rotate(record)).rotate(ISSUER, start, &mut SysRng, NOW).unwrap().change;
    assert_eq!(store.rotate(change).await.unwrap(), Ok(()));
}

async fn says_that_the_tables_are_gone<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    place.execute("DROP TABLE keygate_keys").await.unwrap();
    assert!(matches!(store.find(key.id()).await, Err(StoreError::Database(_))));
    assert!(matches!(store.revoke(key.id(), NOW).await, Err(StoreError::Database(_))));
}

async fn reads_standings<P: Place>(place: &P) {
    let (store, other) = (place.open().await, place.open().await);
    let membership =
        async |user: &str, team: &str| store.membership(user.parse().unwrap(), team.parse().unwrap()).await.unwrap();
    let (ada, core) = ("ada".parse().unwrap(), "core".parse().unwrap());
    assert_eq!(membership("ada", "core").await, Membership::Deprovisioned);
    for set in
        [Membership::Admin, Membership::Member, Membership::Outsider, Membership::Deprovisioned, Membership::Member]
    {
        other.set_member(&ada, &core, set).await;
        assert_eq!(membership("ada", "core").await, set);
    }
    assert_eq!(membership("ada", "other").await, Membership::Outsider);
    assert_eq!(membership("Ada", "core").await, Membership::Deprovisioned);
    other.deprovision(&ada).await;
    assert_eq!(membership("ada", "core").await, Membership::Deprovisioned);
    assert_eq!(membership("ada", "other").await, Membership::Deprovisioned);
    // The memberships did not wait for the user to return.
    other.set_member(&ada, &"other".parse().unwrap(), Membership::Admin).await;
    assert_eq!(membership("ada", "core").await, Membership::Outsider);
}

fn restricted<T: AsRef<str>>(models: &[T]) -> Grant {
    let models = ModelScope::only(models.iter().map(|model| model.as_ref().parse().unwrap())).unwrap();
    let environments = EnvironmentScope::only(["production".parse().unwrap(), "staging".parse().unwrap()]).unwrap();
    Grant::Team {
        team: "o'hara \"%_\\".replace(' ', "-").parse().unwrap(),
        permission: Permission::InferenceOnly { environments, models },
    }
}

fn created_by_user(user: &str) -> NewKey {
    let grant = personal(user);
    let actor = Actor::User(user.parse().unwrap());
    let permit = authorize_operation(&actor, Create(grant), Some(Membership::Member), NOW).unwrap();
    permit.issue(ISSUER, "mine".parse().unwrap(), Validity::NEVER_EXPIRES, &mut SysRng, NOW).unwrap().key
}
