//! What was acknowledged is there after the service was killed in the middle of its work, and a change and its event
//! are there together or not at all.
//!
//! `SQL_CRASH_ROUNDS` is how often the service is killed.
#![expect(clippy::arithmetic_side_effects, clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "common/child.rs"]
mod child;
mod common;

use core::time::Duration;
use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    thread,
    time::{Instant, SystemTime},
};

use child::{said, say};
use common::{
    Log, NOW, Place, changed, disable, enable, found, logged, mint, open_postgres, open_sqlite, personal, revoke,
    rotate, stored,
};
use keygate::{
    KeyId, KeyRecord, RevocationCause, Rotation, Status, Validity,
    audit::EventKind,
    store::{Answer, ChangeFeed, Changes, Conflict, KeyManagementStore, KeysOf, ListQuery, Logged, SecretDigest},
};
use keygate_sqlx::{LoggedEvent, StoreError};

both!(keeps_what_was_acknowledged, starts_in_several_processes_at_once);

async fn keeps_what_was_acknowledged<P: Place>(place: &P) {
    let rounds = env::var("SQL_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (started, mut changes) = (Instant::now(), 0);
    let mut known = HashMap::new();
    for round in 0..rounds {
        let mut writer = Writer::start(&place.url(), round);
        let heard = writer.kill_after(random_delay());
        assert!(!heard.is_empty(), "the writer came to nothing in round {round}");
        for line in &heard {
            note(&mut known, line);
        }
        changes = check(&place.open().await, &known).await;
        let limit = Duration::from_secs(3).saturating_mul(u32::try_from(rounds).unwrap());
        assert!(started.elapsed() < limit, "round {round} of {rounds}");
    }
    let database = if place.url().starts_with("postgres") { "PostgresStore" } else { "SqliteStore" };
    println!(
        "crash: {database}: {rounds} rounds of {CLIENTS} clients, {changes} changes: \
         0 without event, 0 events without change, 0 acknowledged and lost"
    );
    assert!(known.values().any(|key| key.is_revoked) && known.values().any(|key| key.digests.len() > 1));
}

async fn starts_in_several_processes_at_once<P: Place>(place: &P) {
    let mut writers: Vec<_> = (0..4).map(|number| Writer::start(&place.url(), number)).collect();
    let mut known = HashMap::new();
    for writer in &mut writers {
        for line in writer.kill_after(Duration::from_millis(20)) {
            note(&mut known, &line);
        }
    }
    check(&place.open().await, &known).await;
}

/// What is known of a key, from what the writer said.
#[derive(Default)]
struct Known {
    /// All digests that the writer asked for, in order; the first was stored with the key.
    digests: Vec<SecretDigest>,
    /// How many of them were acknowledged.
    acknowledged: usize,
    is_revoked: bool,
}

/// Heeds a line: `asks` came before a rotation, the others after their change was acknowledged.
fn note(known: &mut HashMap<KeyId, Known>, line: &str) {
    let [what, id, value] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let key = known.entry(id.parse().unwrap()).or_default();
    match what {
        "asks" => key.digests.push(value.parse().unwrap()),
        "created" => {
            key.digests.push(value.parse().unwrap());
            key.acknowledged = 1;
        }
        "rotated" => key.acknowledged = key.digests.len(),
        "revoked" => key.is_revoked = true,
        other => panic!("{other}"),
    }
}

/// Returns the number of changes.
async fn check<S>(store: &S, known: &HashMap<KeyId, Known>) -> usize
where
    S: KeyManagementStore<Error = StoreError> + ChangeFeed + Log,
{
    // A row that is no record makes the list fail, and an event that is none makes reading the log fail.
    let (stored, log) = (walk(store).await, logged(store).await);
    let numbers = log.iter().map(|logged| logged.sequence);
    assert!(numbers.eq(1..=u64::try_from(log.len()).unwrap()), "the log has a gap");
    let Changes::Everything { revision } = store.changes_since(None).await.unwrap() else { panic!("{stored:?}") };
    assert_eq!(revision.number(), u64::try_from(log.len()).unwrap());
    let mut events: HashMap<KeyId, Vec<&EventKind>> = HashMap::new();
    for LoggedEvent { event, .. } in &log {
        events.entry(event.key.unwrap()).or_default().push(&event.kind);
    }
    assert!(events.keys().all(|id| stored.contains_key(id)), "an event without its change");
    for record in stored.values() {
        let Some(events) = events.get(&record.id()) else { panic!("{record:?} has no event") };
        if record.grant().owner() == personal(HASTY).owner() {
            check_turns(record, events);
        } else {
            check_events(record, events);
        }
    }
    for (id, known) in known {
        let record = stored.get(id).unwrap();
        let is_asked_for = |digest: &&SecretDigest| **digest == record.current();
        let place = known.digests.iter().position(|digest| is_asked_for(&digest)).unwrap();
        assert!(place + 1 >= known.acknowledged, "{id} has an older secret");
        let rotations = events.get(id).unwrap().iter().filter(|kind| kind.as_str() == "rotated").count();
        assert_eq!(rotations, place, "{id}: the events are not those of its secret");
        assert!(!known.is_revoked || record.is_revoked(), "{id} was revoked");
    }
    log.len()
}

/// Of one who hangs up before the answer: it was done or not, and each event is one of a change that could be.
fn check_turns(record: &KeyRecord, events: &[&EventKind]) {
    let mut kinds = events.iter().map(|kind| kind.as_str());
    assert_eq!(kinds.next(), Some("created"));
    let turns = ["disabled", "enabled"].into_iter().cycle();
    assert!(kinds.clone().zip(turns).all(|(kind, turn)| kind == turn), "{events:?}");
    let expected = if kinds.count() % 2 == 1 { Status::Disabled } else { Status::Active };
    assert_eq!(record.status(), expected, "{events:?}");
}

/// The writer does the same with each key, so its events say what is stored of it.
fn check_events(record: &KeyRecord, events: &[&EventKind]) {
    const STEPS: [&str; 7] = ["created", "rotated", "rotated", "rotated", "disabled", "enabled", "revoked"];
    let kinds: Vec<_> = events.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, STEPS.get(..kinds.len()).unwrap());
    let status = match kinds.len() {
        5 => Status::Disabled,
        7 => Status::Revoked { at: NOW, cause: RevocationCause::Requested },
        _ => Status::Active,
    };
    assert_eq!(record.status(), status, "{kinds:?}");
    // The first rotation leaves a previous secret, the second keeps it, the third is a cut-over.
    assert_eq!(record.previous().is_some(), matches!(kinds.len(), 2 | 3), "{kinds:?}");
}

async fn walk(store: &impl KeyManagementStore<Error = StoreError>) -> HashMap<KeyId, KeyRecord> {
    let mut stored = HashMap::new();
    let mut query = ListQuery::new();
    query.limit = 500.try_into().unwrap();
    loop {
        let found = store.list(KeysOf::All, query).await.unwrap();
        for record in found.records {
            assert!(stored.insert(record.id(), KeyRecord::clone(&record)).is_none());
        }
        query.after = found.next;
        if query.after.is_none() {
            return stored;
        }
    }
}

/// A process that changes keys, one change after the other, in several tasks.
struct Writer(Child);

impl Writer {
    fn start(url: &str, round: usize) -> Self {
        let mut command = child::test("writer");
        Self(command.env(URL, url).env(ROUND, round.to_string()).stdin(Stdio::null()).spawn().unwrap())
    }

    /// Kills it some time after it said the first thing, and returns all that it said.
    fn kill_after(&mut self, delay: Duration) -> Vec<String> {
        let mut output = BufReader::new(self.0.stdout.take().unwrap());
        let mut heard = Vec::new();
        // A thread hears on while this one sleeps: a full pipe would stop the writer at places of its own choice.
        let (first, is_first) = std::sync::mpsc::channel();
        let listener = thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).unwrap() > 0 {
                if let Some(said) = said(&line) {
                    heard.push(said.to_owned());
                    let _ = first.send(());
                }
                line.clear();
            }
            heard
        });
        let _ = is_first.recv();
        thread::sleep(delay);
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        listener.join().unwrap()
    }
}

#[test]
#[ignore = "the process that the other tests kill"]
fn writer() {
    let Ok(url) = env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if url.starts_with("postgres") {
            write_all(open_postgres(&url).await.unwrap()).await;
        } else {
            write_all(open_sqlite(url.as_ref()).await.unwrap()).await;
        }
    });
}

async fn write_all<S>(store: S)
where
    S: KeyManagementStore<Error = StoreError, Receipt = Logged> + Clone + 'static,
{
    let tasks = (0..CLIENTS).map(|task| {
        let store = store.clone();
        if task % 2 == 0 { tokio::spawn(write(store, task)) } else { tokio::spawn(write_hastily(store, task)) }
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Creates keys, rotates each, disables it for a while, and ends it; for ever.
async fn write(store: impl KeyManagementStore<Error = StoreError, Receipt = Logged>, task: usize) {
    let round = env::var(ROUND).unwrap();
    for number in 0.. {
        let new = mint(personal("ada"), &format!("{round}-{task}-{number}"), Validity::NEVER_EXPIRES, NOW);
        let (id, digest) = (new.record().id(), new.record().current());
        assert_eq!(store.insert(new).await.unwrap(), Ok(Logged));
        say(format_args!("created {id} {digest}"));
        for rotation in [Rotation::Start { overlap: HOUR }, Rotation::Retry { overlap: HOUR }, Rotation::CutOver] {
            let rotated = rotate(&found(&store, id).await, rotation);
            let digest = rotated.token.digest();
            say(format_args!("asks {id} {digest}"));
            changed(&store, rotated.change).await;
            say(format_args!("rotated {id} {digest}"));
        }
        let record = found(&store, id).await;
        changed(&store, disable(&record)).await;
        changed(&store, enable(&record)).await;
        changed(&store, revoke(&record, RevocationCause::Requested)).await;
        say(format_args!("revoked {id} -"));
        // Neither may bring it back, and neither has an event.
        assert_eq!(store.change(enable(&record)).await.unwrap(), Answer::Refused(Conflict::Revoked));
        let again = store.change(revoke(&record, RevocationCause::Leaked)).await.unwrap();
        assert!(matches!(again, Answer::Unchanged(_)));
    }
}

/// Disables and enables a key, and hangs up after some microseconds; for ever.
async fn write_hastily(store: impl KeyManagementStore<Error = StoreError, Receipt = Logged>, task: usize) {
    let round = env::var(ROUND).unwrap();
    for number in 0.. {
        let key = stored(&store, personal(HASTY), &format!("{round}-{task}-{number}")).await;
        for turn in 0..20_u64 {
            let change = if turn % 2 == 0 { disable(&key) } else { enable(&key) };
            let _ = tokio::time::timeout(Duration::from_micros(turn * 150), store.change(change)).await;
        }
    }
}

/// Up to 400 ms: some dozens of changes.
fn random_delay() -> Duration {
    let nanoseconds = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    Duration::from_micros(u64::from(nanoseconds / 7 % 400_000))
}

const ROUNDS: usize = 20;
const CLIENTS: usize = 8;
/// The user whose keys are changed by those who hang up.
const HASTY: &str = "hasty";
const HOUR: Duration = Duration::from_secs(3600);
const URL: &str = "KEYGATE_TEST_WRITER_URL";
const ROUND: &str = "KEYGATE_TEST_WRITER_ROUND";
