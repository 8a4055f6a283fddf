//! What was acknowledged is there after the service was killed in the middle of its work.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use core::time::Duration;
use std::{
    collections::HashMap,
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Instant, SystemTime},
};

use common::{ISSUER, NOW, Place, permit, personal};
use keygate::{
    Create, Disable, Enable, KeyId, KeyManagementStore, KeyManager, KeyRecord, ListBy, PageRequest, Revoke, Rotate,
    Rotation, SecretDigest, Status, SysRng, UnixTime, Validity,
};
use keygate_sql_store::{PostgresStore, SqliteStore, StoreError};

both!(keeps_what_was_acknowledged, starts_in_several_processes_at_once);

async fn keeps_what_was_acknowledged<P: Place>(place: &P) {
    let started = Instant::now();
    let mut known = HashMap::new();
    for round in 0..ROUNDS {
        let mut writer = Writer::start(&place.url(), round);
        let heard = writer.kill_after(random_delay());
        assert!(!heard.is_empty(), "the writer came to nothing in round {round}");
        for line in &heard {
            note(&mut known, line);
        }
        check(&place.open().await, &known).await;
        assert!(started.elapsed() < Duration::from_secs(50), "round {round} of {ROUNDS}");
    }
    assert!(known.values().any(|key| key.revoked.is_some()) && known.values().any(|key| key.digests.len() > 1));
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

/// What must be so of a key, from what the writer said.
#[derive(Default)]
struct Known {
    /// The digest that was acknowledged last, and those that may have followed.
    digests: Vec<SecretDigest>,
    revoked: Option<UnixTime>,
}

/// Heeds a line: `asks` came before a rotation, the others after their change was acknowledged.
fn note(known: &mut HashMap<KeyId, Known>, line: &str) {
    let [what, id, value] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let key = known.entry(id.parse().unwrap()).or_default();
    match what {
        "created" | "rotated" => key.digests = vec![value.parse().unwrap()],
        "asks" => key.digests.push(value.parse().unwrap()),
        "revoked" => key.revoked = Some(UnixTime::from_secs(value.parse().unwrap())),
        other => panic!("{other}"),
    }
}

async fn check(store: &impl KeyManagementStore<Error = StoreError>, known: &HashMap<KeyId, Known>) {
    // A row that is no record makes the list fail.
    let stored = walk(store).await;
    for (id, known) in known {
        let record = stored.get(id).unwrap();
        assert!(known.digests.contains(&record.current()), "{id} has an older secret");
        if let Some(at) = known.revoked {
            assert_eq!(record.status(), Status::Revoked { at }, "{id} was revoked");
        }
    }
}

async fn walk(store: &impl KeyManagementStore<Error = StoreError>) -> HashMap<KeyId, KeyRecord> {
    let mut stored = HashMap::new();
    let mut page = PageRequest { after: None, limit: 500.try_into().unwrap() };
    loop {
        let found = store.list(ListBy::Owner(personal("ada").owner()), page).await.unwrap();
        for record in found.records {
            assert!(stored.insert(record.id(), KeyRecord::clone(&record)).is_none());
        }
        page.after = found.next;
        if page.after.is_none() {
            return stored;
        }
    }
}

/// A process that changes keys, one change after the other, in several tasks.
struct Writer(Child);

impl Writer {
    fn start(url: &str, round: usize) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "writer", "--ignored", "--nocapture"]).env(URL, url).env(ROUND, round.to_string());
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Kills it some time after it said the first thing, and returns all that it said.
    fn kill_after(&mut self, delay: Duration) -> Vec<String> {
        let mut output = BufReader::new(self.0.stdout.take().unwrap());
        let mut heard = Vec::new();
        // A thread hears on while this one sleeps: a full pipe would stop the writer at places of its own choice.
        let (first, said) = std::sync::mpsc::channel();
        let listener = thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).unwrap() > 0 {
                // A line without an end was cut off.
                if let Some(said) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(SAYS)) {
                    heard.push(said.to_owned());
                    let _ = first.send(());
                }
                line.clear();
            }
            heard
        });
        let _ = said.recv();
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
            write_all(PostgresStore::connect(&url).await.unwrap()).await;
        } else {
            write_all(SqliteStore::open(url.as_ref()).await.unwrap()).await;
        }
    });
}

async fn write_all<S: KeyManagementStore<Error = StoreError> + Clone + 'static>(store: S) {
    let tasks: Vec<_> = (0..3).map(|task| tokio::spawn(write(store.clone(), task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Creates keys, rotates each, sets it aside for a while, and ends it; for ever.
async fn write<S: KeyManagementStore<Error = StoreError>>(store: S, task: usize) {
    let manager = KeyManager::new(ISSUER, store);
    let round = env::var(ROUND).unwrap();
    for number in 0.. {
        let name = format!("{round}-{task}-{number}").parse().unwrap();
        let create = permit(Create(personal("ada")));
        let created = manager.create(create, name, Validity::NEVER_EXPIRES, &mut SysRng, NOW).await.unwrap();
        let id = created.token.id();
        say(format_args!("created {id} {}", created.key.record().current()));
        for rotation in [Rotation::Start { overlap: HOUR }, Rotation::Retry { overlap: HOUR }, Rotation::CutOver] {
            let record = manager.store().find(id).await.unwrap().unwrap();
            let change = permit(Rotate(record)).rotate(ISSUER, rotation, &mut SysRng, NOW).unwrap().change;
            say(format_args!("asks {id} {}", change.current()));
            manager.store().rotate(change).await.unwrap().unwrap();
            say(format_args!("rotated {id} {}", change.current()));
        }
        let record = manager.store().find(id).await.unwrap().unwrap();
        manager.disable(permit(Disable(record.clone())), NOW).await.unwrap();
        manager.enable(permit(Enable(record.clone())), NOW).await.unwrap();
        manager.revoke(permit(Revoke(record.clone())), NOW).await.unwrap();
        say(format_args!("revoked {id} {NOW}"));
        // Neither may bring it back.
        manager.enable(permit(Enable(record.clone())), NOW).await.unwrap_err();
        manager.revoke(permit(Revoke(record)), UnixTime::MAX).await.unwrap();
    }
}

/// Writes a line at once, and past the harness, which would keep it.
fn say(line: core::fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    output.write_all(format!("{SAYS}{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

/// Up to 120 ms: some dozens of changes.
fn random_delay() -> Duration {
    let nanoseconds = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    Duration::from_micros(u64::from(nanoseconds / 7 % 120_000))
}

const ROUNDS: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
const URL: &str = "KEYGATE_TEST_WRITER_URL";
const ROUND: &str = "KEYGATE_TEST_WRITER_ROUND";
/// The harness says things too, the first on the line of ours.
const SAYS: &str = "@ ";
