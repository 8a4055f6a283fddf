//! What the conformance suite does not ask of a store: extremes, several openers, rows that are no records.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;

use core::{error::Error as _, time::Duration};

use common::{
    ISSUER, NOW, Place, Users, changed, disable, found, kinds, manager, mint, permit, personal, rename, revoke, rotate,
    stored,
};
use keygate::{
    Actor, EnvironmentScope, Grant, Incarnation, KeyId, KeyRecord, Labels, ManageError, Membership, ModelScope,
    Permission, ResourceScope, RevocationCause, Rotation, Status, System, SystemRandomness, TeamRole, UnixTime,
    UserStatus, Validity,
    audit::EventKind,
    legacy::{LegacyFormat, LegacyHash},
    manage::{Acting, Create, Import, MintRules, SetLabels, Upgrade, authorize_operation},
    stages::AcceptedKeys,
    store::{
        Answer, Conflict, Directory, KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, NewKey, SecretSlot, Touch,
    },
    verify::MatchedKey,
};
use keygate_sqlx::{CorruptRow, StoreError};

both!(
    round_trips_whatever_is_legal,
    round_trips_long_lists,
    sees_what_others_changed,
    opens_again_and_all_at_once,
    takes_no_row_for_a_record,
    takes_no_id_of_other_symbols,
    acknowledges_no_change_that_was_left_out,
    shows_no_digest_of_a_refused_row,
    revokes_what_is_no_record,
    keeps_the_algorithms_of_digests,
    takes_no_digest_of_an_unknown_algorithm,
    says_that_the_tables_are_gone,
    exchanges_names_at_once,
    writes_no_row_that_does_not_move,
    touches_many_keys_at_once,
    reads_memberships,
    gives_no_incarnation_twice,
);

async fn round_trips_whatever_is_legal<P: Place>(place: &P) {
    let store = place.open().await;
    let every_symbol: String = ('!'..='~').collect();
    let end_of_9999 = UnixTime::from_secs(253_402_300_799);
    let times = Validity::between(UnixTime::MIN, end_of_9999).unwrap();
    let all = || (EnvironmentScope::All, ModelScope::All);
    for key in [
        mint(personal(&every_symbol), "a", times, NOW),
        mint(personal("';DROP-TABLE-keygate_keys;--"), "a", Validity::until(end_of_9999), NOW),
        mint(restricted(&["all", "%", r#"["\"#, &every_symbol]), "b", Validity::starting_at(end_of_9999), NOW),
        mint(team(Permission::full(all().0)), "c", Validity::NEVER_EXPIRES, NOW),
        mint(team(Permission::metrics_only(all().1)), "d", Validity::NEVER_EXPIRES, NOW),
        mint(team(custom(&["call", "a_b:c-d:0"])), "e", Validity::NEVER_EXPIRES, NOW),
        created_by_user(&every_symbol),
    ] {
        let record = key.record().clone();
        assert_eq!(store.insert(key).await.unwrap(), Ok(Logged));
        assert_eq!(found(&store, record.id()).await, record);
        // Now with everything that was absent so far.
        let rotated = changed(&store, rotate(&record, LONGEST).change).await;
        let labelled = changed(&store, set_labels(&record, &every_symbol)).await;
        assert_eq!(labelled.labels().len(), 2);
        let both = [SecretSlot::Current, SecretSlot::Previous];
        let touches = both.map(|slot| Touch::new(record.id(), slot, UnixTime::MIN));
        store.touch(touches.to_vec(), UnixTime::MAX).await.unwrap();
        let touched = found(&store, record.id()).await;
        assert_eq!(touched.last_used_at(), Some(UnixTime::MIN));
        let previous = touched.previous().unwrap();
        assert_eq!(previous.last_used_at, Some(UnixTime::MIN));
        assert_eq!(Some(previous.ends_at), rotated.previous().map(|previous| previous.ends_at));
        for keys_of in
            [KeysOf::Creator(record.created_by().clone()), KeysOf::Owner(record.grant().owner()), KeysOf::All]
        {
            let page = store.list(keys_of, ListQuery::new()).await.unwrap();
            assert!(page.records.iter().any(|listed| **listed == touched));
        }
        for cause in RevocationCause::ALL {
            let _ = store.change(revoke(&record, *cause)).await.unwrap();
        }
        let first = Status::Revoked { at: NOW, cause: RevocationCause::ALL[0] };
        assert_eq!(found(&store, record.id()).await.status(), first);
    }
    for (number, cause) in RevocationCause::ALL.iter().enumerate() {
        let record = stored(&store, personal("ada"), &format!("key-{number}")).await;
        let revoked = changed(&store, revoke(&record, *cause)).await;
        assert_eq!(revoked.status(), Status::Revoked { at: NOW, cause: *cause });
    }
}

async fn round_trips_long_lists<P: Place>(place: &P) {
    let store = place.open().await;
    let models: Vec<_> = (0..100_000).map(|number| format!("model-{number}-'\"\\%")).collect();
    let record = stored(&store, restricted(&models), "long").await;
    assert_eq!(record.grant().permission().unwrap().models().members().unwrap().len(), models.len());
    assert_eq!(*record.grant(), restricted(&models));
    assert_eq!(*changed(&store, rename(&record, "longer")).await.grant(), restricted(&models));
}

async fn sees_what_others_changed<P: Place>(place: &P) {
    let (one, other) = (place.open().await, place.open().await);
    for number in 0..30 {
        let key = stored(&one, personal("ada"), &format!("key-{number}")).await;
        assert_eq!(found(&other, key.id()).await, key);
        let revoked = changed(&other, revoke(&key, RevocationCause::Unused)).await;
        assert_eq!(found(&one, key.id()).await, revoked);
    }
}

async fn opens_again_and_all_at_once<P: Place>(place: &P) {
    let (one, two, three, four) = tokio::join!(place.open(), place.open(), place.open(), place.open());
    let key = stored(&one, personal("ada"), "laptop").await;
    for store in [two, three, four, place.open().await] {
        assert_eq!(found(&store, key.id()).await, key);
        assert_eq!(kinds(&store, key.id()).await.len(), 1);
    }
}

async fn takes_no_row_for_a_record<P: Place>(place: &P) {
    let store = place.open().await;
    let mut keys = Vec::new();
    for (number, (guard, set, column)) in NO_RECORDS.iter().enumerate() {
        let validity = Validity::between(NOW, UnixTime::from_secs(NOW.as_secs() + 1000)).unwrap();
        let key = mint(restricted(&["m1"]), &format!("key-{number}"), validity, NOW);
        let id = key.record().id();
        assert_eq!(store.insert(key).await.unwrap(), Ok(Logged));
        rotate_shortly(&store, id).await;
        let update = format!("UPDATE keygate_keys SET {set} WHERE id = '{id}'");
        if *guard == Guard::Constraint {
            assert!(place.execute(&update).await.is_err(), "{set}");
        }
        let record = found(&store, id).await;
        keys.push((record, update, column));
    }
    let updates: Vec<_> = keys.iter().map(|(_, update, _)| update.as_str()).collect();
    place.corrupt(&updates.join("; ")).await;
    for (record, update, column) in &keys {
        let error = store.find(record.id()).await.unwrap_err();
        let is_named =
            matches!(&error, StoreError::Corrupt { source: CorruptRow { column: named, .. }, .. } if named == *column);
        assert!(is_named, "{update}: {error:?}");
        assert!(error.to_string().ends_with(" has a row that is no record"), "{error}");
        assert!(error.to_string().starts_with(P::NAME), "{error}");
        let expected = format!("column `{column}` of row `{}` does not hold what it must", record.id());
        assert_eq!(error.source().unwrap().to_string(), expected);
        // It is not changed either, by what would have to know what it was.
        for change in [rename(record, "other"), disable(record), rotate(record, Rotation::CutOver).change] {
            assert!(matches!(store.change(change).await, Err(StoreError::Corrupt { .. })), "{update}");
        }
        assert_eq!(kinds(&store, record.id()).await.len(), 2, "{update}");
    }
    // A list does not leave out what it cannot read.
    let all = store.list(KeysOf::All, ListQuery::new()).await;
    assert!(matches!(all, Err(StoreError::Corrupt { .. })));
}

/// One would stay, and its owner's keys could not be ended.
async fn takes_no_id_of_other_symbols<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    for id in ["!!!!!!!!!!!!!!!!", "0123456789abcde", "0123456789abcdef0", "0123456789abcde ", "0123456789abcd\u{e9}f"]
    {
        let update = format!("UPDATE keygate_keys SET id = '{id}'");
        assert!(place.execute(&update).await.is_err(), "{id}");
    }
    assert_eq!(found(&store, key.id()).await, key);
}

/// A trigger of the service's own that leaves out an update: nothing is acknowledged, and no event is kept.
async fn acknowledges_no_change_that_was_left_out<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let trigger = if P::NAME.starts_with("SQLite") {
        "CREATE TRIGGER leaves_out BEFORE UPDATE ON keygate_keys BEGIN SELECT RAISE(IGNORE); END"
    } else {
        "CREATE FUNCTION leaves_out () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER leaves_out BEFORE UPDATE ON keygate_keys FOR EACH ROW EXECUTE FUNCTION leaves_out()"
    };
    place.execute(trigger).await.unwrap();
    for change in [rename(&key, "phone"), disable(&key), revoke(&key, RevocationCause::Leaked)] {
        assert!(matches!(store.change(change).await, Err(StoreError::NotWritten(_))));
    }
    let system = System::new("test").unwrap();
    let ended = manager(store.clone()).revoke_all(&system, personal("ada").owner(), RevocationCause::Leaked).await;
    assert!(matches!(ended, Err(ManageError::Store(StoreError::NotWritten(_)))), "{ended:?}");
    assert_eq!(found(&store, key.id()).await, key);
    assert_eq!(kinds(&store, key.id()).await.len(), 1);
}

/// A rule of the service's own: PostgreSQL tells the whole row that breaks it.
async fn shows_no_digest_of_a_refused_row<P: Place>(place: &P) {
    let store = place.open().await;
    let is_sqlite = P::NAME.starts_with("SQLite");
    place
        .execute(if is_sqlite {
            "CREATE TRIGGER refuses BEFORE INSERT ON keygate_keys BEGIN SELECT RAISE(ABORT, 'one too many'); END"
        } else {
            "ALTER TABLE keygate_keys ADD CONSTRAINT one_too_many CHECK (name <> 'laptop')"
        })
        .await
        .unwrap();
    let key = mint(personal("ada"), "laptop", Validity::NEVER_EXPIRES, NOW);
    let refused = store.insert(key).await.unwrap_err();
    let (text, debug) = (refused.to_string(), format!("{refused:?}"));
    assert!(text.contains("one_too_many") || text.contains("one too many"), "{text}");
    assert_eq!(debug, format!("StoreError({text})"));
    let StoreError::Database { error, .. } = refused else { panic!("{text}") };
    assert!(is_sqlite || format!("{error:?}").contains("Failing row contains"), "{error:?}");
}

/// What cannot be read can still be ended, alone or with all keys of its owner.
async fn revokes_what_is_no_record<P: Place>(place: &P) {
    let store = place.open().await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three"] {
        keys.push(stored(&store, restricted(&["m1"]), name).await);
    }
    let owner = keys[0].grant().owner();
    place.corrupt("UPDATE keygate_keys SET labels = 'none', level = 'none' WHERE name <> 'three'").await;
    let revoked = async |key: &KeyRecord, cause| {
        assert_eq!(kinds(&store, key.id()).await.last().unwrap(), &revoked_for(cause));
        let repair = "UPDATE keygate_keys SET labels = '{}', level = 'inference_only'";
        place.corrupt(&format!("{repair} WHERE id = '{}'", key.id())).await;
        assert_eq!(found(&store, key.id()).await.status(), Status::Revoked { at: NOW, cause });
    };
    let change = revoke(&keys[0], RevocationCause::Leaked);
    assert_eq!(store.change(change.clone()).await.unwrap(), Answer::Changed(Logged));
    assert!(matches!(store.change(change).await, Err(StoreError::Corrupt { .. })));
    revoked(&keys[0], RevocationCause::Leaked).await;
    let (key_manager, system) = (manager(store.clone()), System::new("test").unwrap());
    // The manager looks at a key before it ends that one, and not before it ends all of an owner.
    let alone = key_manager.revoke(&Actor::System(system.clone()), keys[1].id(), RevocationCause::Leaked).await;
    assert!(matches!(alone, Err(ManageError::Store(StoreError::Corrupt { .. }))), "{alone:?}");
    let ended = key_manager.revoke_all(&system, owner, RevocationCause::OwnerDeprovisioned).await.unwrap();
    assert_eq!(ended.len(), 2);
    for key in &keys[1..] {
        revoked(key, RevocationCause::OwnerDeprovisioned).await;
    }
}

fn revoked_for(cause: RevocationCause) -> EventKind {
    // The kind has no constructor: it is read as it is written.
    let event = format!(r#"{{"version":1,"at":0,"actor":"unverified","event":"revoked","cause":"{cause}"}}"#);
    serde_json::from_str::<keygate::audit::Event>(&event).unwrap().kind
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
    const GRANT: &str = "owner_kind, level, actions, environments, models, resources";
    const STATUS: &str = "status, revoked_at, revoked_cause";
    const PREVIOUS: &str = "previous_digest, previous_ends_at, previous_last_used_at";
    const TOGETHER: &str = "owner_kind, incarnation, not_before, expires_at, previous_ends_at";
    &[
        (Constraint, "models = NULL", GRANT),
        (Constraint, "environments = NULL", GRANT),
        (Constraint, "level = NULL", GRANT),
        (Constraint, "actions = '[\"call\"]'", GRANT),
        (Constraint, "resources = '\"all\"'", GRANT),
        (Constraint, "owner_kind = 'personal'", GRANT),
        (Constraint, "owner_kind = 'nobody'", "owner_kind"),
        (Constraint, "level = 'admin'", "level"),
        (Constraint, "level = 'full'", GRANT),
        (Constraint, "level = 'metrics_only'", GRANT),
        (Constraint, "level = 'custom'", GRANT),
        (Constraint, "models = '[]'", "models"),
        (Constraint, "models = 'all'", "models"),
        (Constraint, "models = '\"ALL\"'", "models"),
        (Constraint, "environments = ''", "environments"),
        (Constraint, "incarnation = 7", TOGETHER),
        (Constraint, "labels = '[]'", "labels"),
        (Reading, "labels = '{\"A\": \"1\"}'", "labels"),
        (Reading, "labels = '{\"a\": 1}'", "labels"),
        (Reading, "labels = '{\"a\": \"1\", \"a\": \"2\"}'", "labels"),
        (Reading, "environments = '[\"Production\"]'", "environments"),
        (Reading, "models = '[\"m1\", 1]'", "models"),
        (Reading, "models = '[\"m1\"'", "models"),
        (Reading, "owner_id = ''", "owner_id"),
        (Reading, "name = 'Not a name'", "name"),
        (Reading, "issuer = 'sk'", "issuer"),
        (Constraint, "creator_id = 'ada'", "creator_kind, creator_id"),
        (Constraint, "creator_kind = 'user'", "creator_kind, creator_id"),
        (Constraint, "status = 'gone'", STATUS),
        (Constraint, "status = 'revoked'", STATUS),
        (Constraint, "status = 'revoked', revoked_at = 5", STATUS),
        (Constraint, "revoked_at = 5", STATUS),
        (Constraint, "revoked_cause = 'leaked'", STATUS),
        (Reading, "status = 'revoked', revoked_at = 5, revoked_cause = 'whim'", "revoked_cause"),
        (Constraint, "current_digest = substr(current_digest, 1, 27)", "current_digest"),
        (Constraint, "previous_digest = NULL", PREVIOUS),
        (Constraint, "previous_ends_at = NULL", PREVIOUS),
        (Constraint, "previous_digest = NULL, previous_ends_at = NULL, previous_last_used_at = 5", PREVIOUS),
        (Constraint, "expires_at = previous_ends_at - 1", TOGETHER),
        (Constraint, "not_before = expires_at", TOGETHER),
    ]
};

/// A key that was imported, upgraded and rotated: each step is another algorithm in a column.
async fn keeps_the_algorithms_of_digests<P: Place>(place: &P) {
    const OLD: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha512);
    static FORMATS: [LegacyFormat; 1] = [OLD];
    let (store, text) = (place.open().await, "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK");
    let hash = "e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
                6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d";
    let legacy_key = OLD.stored(Some("Xj6zVG9w"), hash.parse().unwrap()).unwrap();
    let import = || {
        let import = Import::new(legacy_key, personal("ada"), "old".parse().unwrap(), Validity::NEVER_EXPIRES, NOW);
        permit(import).import(ISSUER, &MintRules::new(), &SystemRandomness, NOW).unwrap()
    };
    let imported = import();
    assert_eq!(store.insert(imported.clone()).await.unwrap(), Ok(Logged));
    assert_eq!(store.insert(import()).await.unwrap(), Err(Conflict::IdTaken));

    let algorithms = async || {
        let record = found(&store, legacy_key.id()).await;
        [Some(record.current()), record.previous().map(|previous| previous.digest)]
            .map(|digest| digest.map_or("none", |digest| digest.algorithm().as_str()))
    };
    let opens = async || -> MatchedKey {
        let record = store.find(legacy_key.id()).await.unwrap();
        AcceptedKeys::new(ISSUER).with_legacy(&FORMATS).parse(text).unwrap().verify(record, NOW).unwrap()
    };
    assert_eq!(found(&store, legacy_key.id()).await, *imported.record());
    assert_eq!(algorithms().await, ["sha512-v1", "none"]);
    let key = opens().await;
    let upgrade = |key| Upgrade::due(key, &SystemRandomness, NOW).unwrap().unwrap();
    assert_eq!(store.change(upgrade(&key)).await.unwrap(), Answer::Changed(Logged));
    assert_eq!(store.change(upgrade(&key)).await.unwrap(), Answer::Refused(Conflict::Changed));
    assert_eq!(algorithms().await, ["legacy-v1", "none"]);
    rotate_shortly(&store, legacy_key.id()).await;
    assert_eq!(algorithms().await, ["v1", "legacy-v1"]);
    assert_eq!(opens().await.slot(), SecretSlot::Previous);
    assert_eq!(store.change(upgrade(&key)).await.unwrap(), Answer::Refused(Conflict::Changed));
    assert_eq!(algorithms().await, ["v1", "legacy-v1"]);
    let kinds = kinds(&store, legacy_key.id()).await;
    assert_eq!(kinds.iter().map(EventKind::as_str).collect::<Vec<_>>(), ["imported", "upgraded", "rotated"]);
}

async fn takes_no_digest_of_an_unknown_algorithm<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let is_postgres = place.url().starts_with("postgres");
    let unknown = if is_postgres { "decode(repeat('00', 29), 'hex')" } else { "zeroblob(29)" };
    let update = format!("UPDATE keygate_keys SET current_digest = {unknown} WHERE id = '{}'", key.id());
    place.execute(&update).await.unwrap();
    let error = store.find(key.id()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt { source: CorruptRow { column: "current_digest", .. }, .. }),
        "{error:?}"
    );
}

async fn rotate_shortly(store: &impl KeyManagementStore<Error = StoreError, Receipt = Logged>, id: KeyId) {
    let start = Rotation::Start { overlap: Duration::from_secs(60) };
    let change = rotate(&found(store, id).await, start).change;
    assert_eq!(store.change(change).await.unwrap(), Answer::Changed(Logged));
}

async fn says_that_the_tables_are_gone<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    place.execute("DROP TABLE keygate_keys").await.unwrap();
    let error = store.find(key.id()).await.unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }));
    // What the server says is in it once, without the line of its own source.
    let why =
        if P::NAME == "SQLite" { "no such table: keygate_keys" } else { r#"relation "keygate_keys" does not exist"# };
    assert!(error.to_string().ends_with(&format!("` refused: {why}")), "{error}");
    assert!(error.source().is_none());
    let change = revoke(&key, RevocationCause::Requested);
    assert!(matches!(store.change(change).await, Err(StoreError::Database { .. })));
}

/// Each waits for the name that the other one gives up: both are refused or one is, and none fails.
async fn exchanges_names_at_once<P: Place>(place: &P) {
    let store = place.open().await;
    for round in 0..5 {
        let names = ["left", "right"].map(|side| format!("{side}-{round}"));
        let left = stored(&store, personal("ada"), &names[0]).await;
        let right = stored(&store, personal("ada"), &names[1]).await;
        let renames = [rename(&left, &names[1]), rename(&right, &names[0])].map(|change| {
            let store = store.clone();
            tokio::spawn(async move { store.change(change).await })
        });
        for rename in renames {
            let answer = rename.await.unwrap().unwrap();
            assert_eq!(answer, Answer::Refused(Conflict::NameTaken));
        }
    }
}

async fn writes_no_row_that_does_not_move<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let id = key.id();
    rotate_shortly(&store, id).await;
    let revoked = stored(&store, personal("ada"), "old").await;
    changed(&store, revoke(&revoked, RevocationCause::Requested)).await;
    let (current, previous) = (SecretSlot::Current, SecretSlot::Previous);
    let seconds = |seconds| UnixTime::from_secs(NOW.as_secs() + seconds);
    for (slot, used_at, now, moves) in [
        (current, 10, 100, true),
        (current, 10, 100, false),
        (current, 9, 100, false),
        (current, 200, 10, false),
        (previous, 9, 100, true),
        (previous, 9, 100, false),
        (previous, 8, 100, false),
        (previous, 10, 100, true),
        (current, 11, 100, true),
        (previous, 11, 100, true),
        (previous, 12, 11, false),
    ] {
        let before = place.written().await;
        let touches = [id, revoked.id(), "nosuchkeyatall00".parse().unwrap()];
        let touches = touches.map(|id| Touch::new(id, slot, seconds(used_at))).to_vec();
        store.touch(touches, seconds(now)).await.unwrap();
        assert_eq!(before != place.written().await, moves, "{slot} {used_at} {now}");
    }
    assert_eq!(found(&store, id).await.last_used_at(), Some(seconds(11)));
    assert_eq!(found(&store, id).await.previous().unwrap().last_used_at, Some(seconds(11)));
    // A touch of the previous secret moves nothing else, once that secret is ended.
    changed(&store, rotate(&found(&store, id).await, Rotation::CutOver).change).await;
    store.touch(vec![Touch::new(id, previous, seconds(20))], seconds(100)).await.unwrap();
    assert_eq!(found(&store, id).await.previous(), None);
    assert_eq!(found(&store, id).await.last_used_at(), Some(seconds(20)));
}

/// Batches that name the same keys in orders of their own, while the keys are ended: none waits for another in a
/// circle.
async fn touches_many_keys_at_once<P: Place>(place: &P) {
    let store = place.open().await;
    let system = System::new("test").unwrap();
    for round in 0..8 {
        let user = format!("user-{round}");
        let mut ids = Vec::new();
        for number in 0..40 {
            ids.push(stored(&store, personal(&user), &format!("key-{number}")).await.id());
        }
        let touchers = (1..=4).map(|task: i64| {
            let (store, mut ids) = (store.clone(), ids.clone());
            if task % 2 == 0 {
                ids.reverse();
            }
            tokio::spawn(async move {
                for step in 1..=10 {
                    let used_at = UnixTime::from_secs(step * 10 + task);
                    // More than a statement takes, if it took each.
                    let touch = |id: &KeyId| Touch::new(*id, SecretSlot::Current, used_at);
                    let touches = ids.iter().map(touch).cycle().take(1500).collect();
                    store.touch(touches, UnixTime::MAX).await.unwrap();
                }
            })
        });
        let touchers: Vec<_> = touchers.collect();
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        let manager = manager(store.clone());
        let revoked = manager.revoke_all(&system, personal(&user).owner(), RevocationCause::Requested);
        assert_eq!(revoked.await.unwrap().len(), ids.len());
        for toucher in touchers {
            toucher.await.unwrap();
        }
    }
    // Of more keys than a statement takes, all are moved.
    let many: Vec<_> = (0..1_003).map(|number| format!("key-{number}")).collect();
    let mut ids = Vec::new();
    for name in &many {
        ids.push(stored(&store, personal("ada"), name).await.id());
    }
    store.touch(ids.iter().map(|id| Touch::new(*id, SecretSlot::Current, NOW)).collect(), NOW).await.unwrap();
    for id in ids {
        assert_eq!(found(&store, id).await.last_used_at(), Some(NOW));
    }
}

async fn reads_memberships<P: Place>(place: &P) {
    let (directory, other) = (place.open_directory().await, place.open_directory().await);
    let role = async |user: &str, team: &str| {
        let membership = directory.membership(&user.parse().unwrap(), &team.parse().unwrap()).await.unwrap();
        assert_eq!(directory.user(&user.parse().unwrap()).await.unwrap(), membership.into());
        membership.role()
    };
    let (ada, core) = ("ada".parse().unwrap(), "core".parse().unwrap());
    assert_eq!(role("ada", "core").await, TeamRole::Deprovisioned);
    for set in [TeamRole::Admin, TeamRole::Member, TeamRole::Outsider, TeamRole::Deprovisioned, TeamRole::Member] {
        other.set_member(&ada, &core, set).await;
        assert_eq!(role("ada", "core").await, set);
    }
    assert_eq!(role("ada", "other").await, TeamRole::Outsider);
    assert_eq!(role("Ada", "core").await, TeamRole::Deprovisioned);
    other.deprovision(&ada).await;
    assert_eq!(role("ada", "core").await, TeamRole::Deprovisioned);
    assert_eq!(role("ada", "other").await, TeamRole::Deprovisioned);
    // The memberships did not wait for the user to return.
    other.set_member(&ada, &"other".parse().unwrap(), TeamRole::Admin).await;
    assert_eq!(role("ada", "core").await, TeamRole::Outsider);
    other.provision(&ada).await;
    assert_eq!(role("ada", "other").await, TeamRole::Admin);
}

async fn gives_no_incarnation_twice<P: Place>(place: &P) {
    let (store, directory) = (place.open().await, place.open_directory().await);
    let ada = "ada".parse().unwrap();
    let mut seen: Vec<Incarnation> = Vec::new();
    for _ in 0..5 {
        // All at once, by two ways of coming in: they are one user.
        let provisions = (0..8).map(|number| {
            let (directory, team) = (directory.clone(), format!("team-{number}").parse().unwrap());
            tokio::spawn(async move {
                directory.provision(&"ada".parse().unwrap()).await;
                directory.set_member(&"ada".parse().unwrap(), &team, TeamRole::Member).await;
            })
        });
        for provision in provisions.collect::<Vec<_>>() {
            provision.await.unwrap();
        }
        let membership: Membership = directory.membership(&ada, &"team-3".parse().unwrap()).await.unwrap();
        let incarnation = membership.incarnation().unwrap();
        assert_eq!(directory.user(&ada).await.unwrap(), UserStatus::active_as(incarnation));
        assert!(!seen.contains(&incarnation), "{incarnation:?} again, after {seen:?}");
        seen.push(incarnation);
        directory.deprovision(&ada).await;
    }

    // So a key of before does not open for the one who comes back.
    directory.provision(&ada).await;
    let keys = keygate::KeyManager::new(ISSUER, store.clone()).with_directory(directory.clone());
    let gate = keygate::Gate::new(ISSUER, store.clone()).with_directory(directory.clone());
    let spec = keygate::NewKeySpec::new(personal("ada"), "laptop".parse().unwrap(), Validity::NEVER_EXPIRES);
    let issued = keys.create(&Actor::User(ada.clone()), spec).await.unwrap();
    assert!(gate.authenticate(issued.token.expose_secret()).await.is_ok());
    directory.deprovision(&ada).await;
    assert!(gate.authenticate(issued.token.expose_secret()).await.is_err());
    directory.provision(&ada).await;
    assert!(gate.authenticate(issued.token.expose_secret()).await.is_err());
}

const LONGEST: Rotation = Rotation::Start { overlap: Duration::MAX };

fn set_labels(key: &KeyRecord, value: &str) -> keygate::store::KeyChange {
    let labels =
        [("all-symbols".parse().unwrap(), value.parse().unwrap()), ("none".parse().unwrap(), "".parse().unwrap())];
    let labels = Labels::new(labels).unwrap();
    permit(SetLabels(key.clone().into())).set_labels(ISSUER, labels, &SystemRandomness, NOW).unwrap()
}

fn team(permission: Permission) -> Grant {
    Grant::team("o'hara-\"%_\\".parse().unwrap(), permission)
}

fn restricted<T: AsRef<str>>(models: &[T]) -> Grant {
    let models = ModelScope::only(models.iter().map(|model| model.as_ref().parse().unwrap())).unwrap();
    let environments = EnvironmentScope::only(["production".parse().unwrap(), "development".parse().unwrap()]).unwrap();
    team(Permission::inference_only(environments, models))
}

fn custom(actions: &[&str]) -> Permission {
    let resources = ResourceScope::only(["r'1".parse().unwrap(), "R\"1".parse().unwrap()]).unwrap();
    let environments = EnvironmentScope::only(["production".parse().unwrap()]).unwrap();
    Permission::custom(actions.iter().map(|action| action.parse().unwrap()), environments, resources).unwrap()
}

fn created_by_user(user: &str) -> NewKey {
    let create = Create { grant: personal(user), validity: Validity::NEVER_EXPIRES };
    let user = user.parse().unwrap();
    let membership = Membership::from(TeamRole::Member).with_incarnation(Incarnation::new(i64::MIN));
    let permit = authorize_operation(ISSUER, Acting::User(&user), create, Some(membership), NOW).unwrap();
    let name = "mine".parse().unwrap();
    permit.issue(ISSUER, (name, Labels::NONE), &MintRules::new(), &SystemRandomness, NOW).unwrap().key
}
