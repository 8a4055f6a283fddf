//! The log of changes, which is read back in order, and the feed that caches follow.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;

use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use common::{
    Log, NOW, Place, changed, disable, enable, found, kinds, logged, manager, mint, page, personal, read_all, rename,
    revoke, rotate, stored,
};
use keygate::{
    KeyRecord, Membership, RevocationCause, Rotation, Status, System, SystemRandomness, TeamRole, UnixTime, UserId,
    Validity,
    audit::{Event, EventKind, Principal},
    manage::{Acting, Rename, Revoke, authorize_operation},
    store::{
        Answer, ChangeFeed, Changes, Conflict, KeyChange, KeyManagementStore, KeyStore, Logged, Revision, SecretSlot,
        Step, Touch,
    },
};
use keygate_sqlx::{EventsOf, LogQuery, StoreError};
use tokio::time::timeout;

both!(
    keeps_each_event_as_it_was_completed,
    keeps_no_event_where_nothing_changed,
    reads_the_log_in_parts,
    reads_the_log_by_key_owner_actor_kind_and_time,
    asks_for_no_kind_that_is_none,
    reads_the_parts_of_events_by_column,
    changes_nothing_without_its_event,
    takes_no_row_for_an_event,
    leaves_both_or_neither_where_the_caller_goes_away,
    numbers_changes_in_the_order_of_their_commits,
    tells_what_changed,
    tells_everything_where_it_does_not_know,
);

async fn keeps_each_event_as_it_was_completed<P: Place>(place: &P) {
    let store = place.open().await;
    let new = mint(personal("ada"), "laptop", Validity::NEVER_EXPIRES, NOW);
    let mut expected = vec![new.event().clone()];
    assert_eq!(store.insert(new.clone()).await.unwrap(), Ok(Logged));
    let mut record = new.record().clone();
    let changes: [fn(&KeyRecord) -> KeyChange; 5] = [
        |record: &KeyRecord| rename(record, "phone"),
        |record: &KeyRecord| rotate(record, Rotation::Start { overlap: Duration::from_secs(60) }).change,
        disable,
        enable,
        |record: &KeyRecord| revoke(record, RevocationCause::Replaced),
    ];
    for change in changes {
        let change = change(&record);
        let Step::Change { update, event } = change.apply(Some(&record)) else { panic!("{change:?}") };
        expected.push(event);
        let after = update.applied_to(&record);
        record = changed(&store, change).await;
        assert_eq!(record, after);
    }
    let log = logged(&place.open().await).await;
    assert_eq!(log.iter().map(|logged| logged.event.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(log.iter().map(|logged| logged.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

async fn keeps_no_event_where_nothing_changed<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let other = stored(&store, personal("ada"), "phone").await;
    let known = revision(&store).await;
    let nothing = async || assert_eq!(since(&store, known).await, Changes::Keys { ids: vec![], revision: known });
    for (change, refused) in [
        (rename(&key, "phone"), Some(Conflict::NameTaken)),
        (rename(&key, "laptop"), None),
        (enable(&key), Some(Conflict::NotDisabled)),
        (revoke(&unknown(), RevocationCause::Leaked), Some(Conflict::Absent)),
    ] {
        let expected = refused.map_or_else(|| Answer::Unchanged(key.clone().into()), Answer::Refused);
        assert_eq!(store.change(change).await.unwrap(), expected);
        nothing().await;
    }
    let taken = mint(personal("ada"), "phone", Validity::NEVER_EXPIRES, NOW);
    assert_eq!(store.insert(taken).await.unwrap(), Err(Conflict::NameTaken));
    store.touch(vec![Touch::new(key.id(), SecretSlot::Current, NOW)], NOW).await.unwrap();
    nothing().await;
    let system = System::new("test").unwrap();
    let ended = manager(store.clone()).revoke_all(&system, personal("bob").owner(), RevocationCause::Unused).await;
    assert_eq!(ended.unwrap(), []);
    nothing().await;
    assert_eq!(logged(&store).await.len(), 2);
    assert_eq!(found(&store, other.id()).await, other);
}

async fn reads_the_log_in_parts<P: Place>(place: &P) {
    let store = place.open().await;
    let owner = personal("ada").owner();
    for number in 0..7 {
        stored(&store, personal("ada"), &format!("key-{number}")).await;
    }
    let system = System::new("test").unwrap();
    let ended = manager(store.clone()).revoke_all(&system, owner, RevocationCause::Leaked).await.unwrap();
    let all = logged(&store).await;
    assert_eq!(all.len(), 14);
    // The events of one step are in the order of the ids, each with an id of its own.
    let revoked: Vec<_> = all.iter().skip(7).map(|logged| logged.event.key.unwrap()).collect();
    assert_eq!(revoked, ended);
    for (after, limit) in [(None, 3), (Some(0), 3), (Some(3), 100), (Some(13), 5), (Some(14), 5), (Some(u64::MAX), 5)] {
        let part = store.events(&page(after, limit)).await.unwrap();
        let expected = all.iter().filter(|logged| after.is_none_or(|after| after < logged.sequence));
        assert_eq!(part, expected.take(limit.into()).cloned().collect::<Vec<_>>(), "{after:?} {limit}");
    }
}

async fn reads_the_log_by_key_owner_actor_kind_and_time<P: Place>(place: &P) {
    let store = place.open().await;
    let mut keys = Vec::new();
    for (number, user) in ["ada", "ada", "bob"].into_iter().enumerate() {
        let at = UnixTime::from_secs(NOW.as_secs() + number as i64 * 100);
        let new = mint(personal(user), &format!("key-{number}"), Validity::NEVER_EXPIRES, at);
        let id = new.record().id();
        assert_eq!(store.insert(new).await.unwrap(), Ok(Logged));
        keys.push(found(&store, id).await);
    }
    // By a user, and by a key of hers.
    let ada: UserId = "ada".parse().unwrap();
    let member = Some(Membership::from(TeamRole::Member));
    let permit = authorize_operation(common::ISSUER, Acting::User(&ada), Rename(keys[0].clone().into()), member, NOW);
    changed(&store, permit.unwrap().rename(common::ISSUER, "new".parse().unwrap(), &SystemRandomness, NOW).unwrap())
        .await;
    let rotated = rotate(&keys[1], Rotation::CutOver);
    changed(&store, rotated.change).await;
    let presented = keygate::stages::AcceptedKeys::new(common::ISSUER).parse(rotated.token.expose_secret()).unwrap();
    let matched = presented.verify(store.find(keys[1].id()).await.unwrap(), NOW).unwrap();
    changed(&store, keygate::manage::Permit::<Revoke>::revoke_leaked(&matched, &SystemRandomness, NOW).unwrap()).await;
    changed(&store, disable(&keys[2])).await;

    let all = logged(&store).await;
    assert_eq!(all.len(), 7);
    let after = |seconds: i64| Some(UnixTime::from_secs(NOW.as_secs() + seconds));
    for events_of in [
        EventsOf::All,
        EventsOf::ActingKey(keys[1].id()),
        EventsOf::ActingKey(keys[0].id()),
        EventsOf::ActingUser(ada.clone()),
        EventsOf::ActingUser("bob".parse().unwrap()),
        EventsOf::Key(keys[0].id()),
        EventsOf::Key("nosuchkeyatall00".parse().unwrap()),
        EventsOf::Owner(personal("ada").owner()),
        EventsOf::Owner(personal("Ada").owner()),
    ] {
        for kind in [None, Some("created"), Some("revoked"), Some("upgraded")] {
            for (from, until) in [(None, None), (after(100), None), (None, after(100)), (after(1), after(200))] {
                let mut query = page(None, 2);
                (query.events_of, query.kind, query.from, query.until) = (events_of.clone(), kind, from, until);
                let is_asked_for = |event: &Event| {
                    let is_of = match &events_of {
                        EventsOf::ActingKey(id) => matches!(&event.by, Principal::Key { id: by, .. } if by == id),
                        EventsOf::ActingUser(user) => event.by.user() == Some(user),
                        EventsOf::Key(id) => event.key == Some(*id),
                        EventsOf::Owner(owner) => event.owner.as_ref() == Some(owner),
                        _ => true,
                    };
                    is_of
                        && kind.is_none_or(|kind| event.kind.as_str() == kind)
                        && from.is_none_or(|from| event.at >= from)
                        && until.is_none_or(|until| event.at < until)
                };
                let mut expected: Vec<_> = all.iter().filter(|logged| is_asked_for(&logged.event)).cloned().collect();
                assert_eq!(read_all(&store, query.clone()).await, expected, "{query:?}");
                expected.reverse();
                query.newest_first = true;
                assert_eq!(read_all(&store, query.clone()).await, expected, "{query:?}");
            }
        }
    }
    assert!(all.iter().any(|logged| matches!(logged.event.by, Principal::Key { id, .. } if id == keys[1].id())));
}

async fn asks_for_no_kind_that_is_none<P: Place>(place: &P) {
    let store = place.open().await;
    let mut query = LogQuery::new();
    query.kind = Some("revokd");
    let error = store.events(&query).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownKind("revokd")), "{error:?}");
    for kind in EventKind::NAMES {
        query.kind = Some(kind);
        assert_eq!(store.events(&query).await.unwrap(), []);
    }
}

async fn reads_the_parts_of_events_by_column<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("o'hara"), "laptop").await;
    // By a user, and by a key of hers.
    let user = "o'hara".parse().unwrap();
    let member = Some(Membership::from(TeamRole::Member));
    let permit = authorize_operation(common::ISSUER, Acting::User(&user), Rename(key.clone().into()), member, NOW);
    let change = permit.unwrap().rename(common::ISSUER, "phone".parse().unwrap(), &SystemRandomness, NOW).unwrap();
    changed(&store, change).await;
    let rotated = rotate(&key, Rotation::CutOver);
    changed(&store, rotated.change).await;
    let presented = keygate::stages::AcceptedKeys::new(common::ISSUER).parse(rotated.token.expose_secret()).unwrap();
    let matched = presented.verify(store.find(key.id()).await.unwrap(), NOW).unwrap();
    let leaked = keygate::manage::Permit::<Revoke>::revoke_leaked(&matched, &SystemRandomness, NOW).unwrap();
    changed(&store, leaked).await;

    let log = logged(&store).await;
    assert!(matches!(&log[1].event.by, Principal::User { .. }) && matches!(&log[3].event.by, Principal::Key { .. }));
    for (sequence, kind, actor) in [
        (1, "created", "actor_key IS NULL AND actor_user IS NULL"),
        (2, "renamed", "actor_key IS NULL AND actor_user = owner_id"),
        (3, "rotated", "actor_key IS NULL AND actor_user IS NULL"),
        (4, "revoked", "actor_key = key_id AND actor_user = owner_id"),
    ] {
        let Event { id, key, .. } = &log[sequence - 1].event;
        let is_so = format!(
            "id = '{}' AND key_id = '{}' AND owner_kind = 'personal' AND owner_id = 'o''hara' AND at = {NOW} \
             AND kind = '{kind}' AND {actor}",
            id.unwrap(),
            key.unwrap()
        );
        // Only a row of which all is so is deleted.
        let delete = format!("DELETE FROM keygate_events WHERE sequence = {sequence} AND {is_so}");
        place.execute(&delete).await.unwrap();
        assert_eq!(logged(&store).await.len(), 4 - sequence, "{is_so}");
    }
}

/// A key that is in no store.
fn unknown() -> KeyRecord {
    mint(personal("ada"), "unknown", Validity::NEVER_EXPIRES, NOW).record().clone()
}

/// Where the event cannot be written, the change is undone.
async fn changes_nothing_without_its_event<P: Place>(place: &P) {
    let store = place.open().await;
    let key = stored(&store, personal("ada"), "laptop").await;
    let system = System::new("test").unwrap();
    for (broken, repaired) in [
        ("ALTER TABLE keygate_events RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO keygate_events"),
        ("ALTER TABLE keygate_revision RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO keygate_revision"),
        (
            "CREATE TABLE elsewhere AS SELECT * FROM keygate_revision; DELETE FROM keygate_revision",
            "INSERT INTO keygate_revision SELECT * FROM elsewhere; DROP TABLE elsewhere",
        ),
    ] {
        place.execute(broken).await.unwrap();
        let new = mint(personal("ada"), "phone", Validity::NEVER_EXPIRES, NOW);
        assert!(store.insert(new.clone()).await.is_err());
        assert!(store.change(disable(&key)).await.is_err());
        let keys = manager(store.clone());
        let revoked = keys.revoke_all(&system, key.grant().owner(), RevocationCause::Leaked).await;
        assert!(revoked.is_err());
        place.execute(repaired).await.unwrap();
        assert_eq!(store.find(new.record().id()).await.unwrap(), None);
        assert_eq!(found(&store, key.id()).await, key);
        assert_eq!(logged(&store).await.len(), 1);
    }
    changed(&store, disable(&key)).await;
    assert_eq!(logged(&store).await.len(), 2);
}

async fn takes_no_row_for_an_event<P: Place>(place: &P) {
    let store = place.open().await;
    stored(&store, personal("ada"), "laptop").await;
    for event in ["", "{}", r#"{"version":1,"at":5,"actor":"nobody","event":"created"}"#] {
        place.execute(&format!("UPDATE keygate_events SET event = '{event}'")).await.unwrap();
        let Err(StoreError::Corrupt { source, .. }) = store.events(&page(None, 5)).await else { panic!("{event}") };
        assert_eq!(source.to_string(), "column `event` of row `1` does not hold what it must");
        // Who exports the log can set that one aside.
        assert_eq!((source.column, source.row.as_deref()), ("event", Some("1")));
        assert_eq!(store.events(&page(Some(1), 5)).await.unwrap(), []);
    }
    // One of a later version is kept, and read.
    let later = r#"{"version":2,"at":5,"actor":"visitor","event":"painted","colour":"red"}"#;
    place.execute(&format!("UPDATE keygate_events SET event = '{later}'")).await.unwrap();
    let read = store.events(&page(None, 5)).await.unwrap();
    assert_eq!((&read[0].event.kind, &read[0].event.by), (&EventKind::Unknown, &Principal::Unknown));
    assert!(serde_json::to_string(&read[0].event).unwrap().contains("colour"));
}

/// Calls that are given up at all times, many at once: for each key the events are those of what is stored.
async fn leaves_both_or_neither_where_the_caller_goes_away<P: Place>(place: &P) {
    let store = place.open().await;
    let mut calls = Vec::new();
    for number in 0..120 {
        let key = stored(&store, personal("ada"), &format!("key-{number}")).await;
        let (store, span) = (store.clone(), Duration::from_micros(number * 37));
        calls.push(tokio::spawn(async move {
            let is_answered = timeout(span, store.change(disable(&key))).await.is_ok();
            (key.id(), is_answered)
        }));
    }
    let system = System::new("test").unwrap();
    for number in 0..20 {
        let (user, span) = (format!("user-{number}"), Duration::from_micros(number * 211));
        let mut keys = Vec::new();
        for name in ["one", "two", "three"] {
            keys.push(stored(&store, personal(&user), name).await.id());
        }
        let manager = manager(store.clone());
        let revoke = manager.revoke_all(&system, personal(&user).owner(), RevocationCause::Leaked);
        let _ = timeout(span, revoke).await;
        // What is under way on a connection comes to its end, one way or the other, if the machine is busy a little
        // later.
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let (mut revoked, mut events) = (0, 0);
            for id in &keys {
                revoked += usize::from(found(&store, *id).await.is_revoked());
                events += kinds(&store, *id).await.len() - 1;
            }
            if (revoked, events) == (0, 0) || (revoked, events) == (3, 3) {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "{revoked} of 3, and {events} events");
        }
    }
    let mut counts = [0; 2];
    for call in calls {
        let (id, is_answered) = call.await.unwrap();
        let is_disabled = found(&store, id).await.status() == Status::Disabled;
        assert!(is_disabled || !is_answered);
        assert_eq!(kinds(&store, id).await.len(), 1 + usize::from(is_disabled));
        counts[usize::from(is_disabled)] += 1;
    }
    assert!(counts[1] < 120, "no call was given up before its end");
    // And the store works on: no connection is lost, and no lock is held.
    let key = stored(&store, personal("bob"), "laptop").await;
    changed(&store, disable(&key)).await;
}

/// Who reads the log while others write goes on behind the last event, and misses none.
async fn numbers_changes_in_the_order_of_their_commits<P: Place>(place: &P) {
    let store = place.open().await;
    let writers = (0..4).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..15 {
                let key = stored(&store, personal("ada"), &format!("key-{task}-{number}")).await;
                changed(&store, disable(&key)).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen = Vec::new();
    while seen.len() < 120 {
        // Before it is read: all that finished writers wrote must be there.
        let are_done = writers.iter().all(|writer| writer.is_finished());
        let part = store.events(&page(seen.last().copied(), 10)).await.unwrap();
        seen.extend(part.iter().map(|logged| logged.sequence));
        assert!(!are_done || !part.is_empty(), "only {} of 120 events are read", seen.len());
    }
    assert!(seen.iter().copied().eq(1..=120));
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn tells_what_changed<P: Place>(place: &P) {
    let (store, other) = (place.open().await, place.open().await);
    let begun = revision(&store).await;
    assert_eq!(begun.number(), 0);
    let key = stored(&store, personal("ada"), "laptop").await;
    let second = stored(&other, personal("ada"), "phone").await;
    let known = revision(&store).await;
    assert_eq!(known, revision(&other).await);
    changed(&other, disable(&key)).await;
    changed(&other, enable(&key)).await;
    let Changes::Keys { ids, revision: now } = since(&store, known).await else { panic!("{key:?}") };
    assert_eq!((ids, now.number()), (vec![key.id()], 4));
    let Changes::Keys { ids, .. } = since(&store, begun).await else { panic!("{key:?}") };
    let mut both = vec![key.id(), second.id()];
    both.sort_unstable();
    assert_eq!(ids, both);
    // Another database has another life.
    assert_ne!(revision(&place.open_empty().await).await.life(), begun.life());
}

async fn tells_everything_where_it_does_not_know<P: Place>(place: &P) {
    let store = place.open().await;
    let begun = revision(&store).await;
    for number in 0..4 {
        stored(&store, personal("ada"), &format!("key-{number}")).await;
    }
    let now = revision(&store).await;
    let everything = Changes::Everything { revision: now };
    let at = |number| Revision::new(begun.life(), number);
    assert!(matches!(since(&store, at(0)).await, Changes::Keys { ids, .. } if ids.len() == 4));
    for unknown in [at(5), at(10_000), at(i64::MAX as u64), at(u64::MAX), Revision::new([7; 16], 2)] {
        assert_eq!(since(&store, unknown).await, everything, "{unknown}");
    }

    // Events that were taken away, at the beginning and in the middle, and one that was put in.
    place.execute("DELETE FROM keygate_events WHERE sequence = 2").await.unwrap();
    for (number, listed) in [(0, None), (1, None), (2, Some(2)), (3, Some(1)), (4, Some(0))] {
        let changes = since(&store, at(number)).await;
        match listed {
            None => assert_eq!(changes, everything, "{number}"),
            Some(count) => assert!(matches!(changes, Changes::Keys { ids, .. } if ids.len() == count), "{number}"),
        }
    }

    // One whose key cannot be read.
    let later = stored(&store, personal("ada"), "key-5").await;
    place.corrupt("UPDATE keygate_events SET key_id = '!' WHERE sequence = 5").await;
    assert!(matches!(since(&store, at(4)).await, Changes::Everything { .. }));
    changed(&store, disable(&later)).await;
    assert_eq!(since(&store, at(5)).await, Changes::Keys { ids: vec![later.id()], revision: at(6) });

    // A list of more changes than are told, though they are of one key.
    let copies = "INSERT INTO keygate_events SELECT sequence + number, id || number, at, kind, key_id, \
         owner_kind, owner_id, actor_key, actor_user, event FROM keygate_events, numbers WHERE sequence = 6; \
         UPDATE keygate_revision SET number = number + 10000";
    let numbers = "CREATE TABLE numbers AS WITH RECURSIVE counted (number) AS \
         (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < 10000) SELECT number FROM counted";
    place.execute(&format!("{numbers}; {copies}")).await.unwrap();
    assert!(matches!(since(&store, at(6)).await, Changes::Keys { ids, .. } if ids.len() == 1));
    assert!(matches!(since(&store, at(5)).await, Changes::Everything { revision } if revision == at(10_006)));

    // What was restored counts on under a life of its own, beyond all numbers.
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    store.begin_new_life().await;
    let renewed = revision(&store).await;
    // By the clock of the database, which in SQLite has milliseconds.
    assert!(u128::from(renewed.number()) >= before.as_millis() * 1_000, "{renewed}");
    assert_ne!(renewed.life(), begun.life());
    assert_eq!(since(&store, at(10_006)).await, Changes::Everything { revision: renewed });
    assert_eq!(since(&store, renewed).await, Changes::Keys { ids: vec![], revision: renewed });
}

async fn revision<S: ChangeFeed<Error = StoreError>>(store: &S) -> Revision {
    let changes = store.changes_since(None).await.unwrap();
    assert!(matches!(changes, Changes::Everything { .. }));
    changes.revision()
}

async fn since<S: ChangeFeed<Error = StoreError>>(store: &S, known: Revision) -> Changes {
    store.changes_since(Some(known)).await.unwrap()
}
