//! Three processes with caches, under load: what is revoked opens in none of them after the lease, whatever is frozen.
//!
//! `SQL_NODES_SAMPLES` is how many keys are revoked in each of the cases. How long they went on opening is printed.
#![expect(clippy::arithmetic_side_effects, clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/line.rs"]
mod line;

use core::time::Duration;
use std::{
    collections::HashMap,
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    thread,
    time::SystemTime,
};

use child::{said, say};
use common::{ISSUER, Place, Server, disable, enable, on, personal, stored};
use keygate::{
    Actor, AuthenticateError, CachedStore, EnvironmentScope, Gate, Grant, KeyId, KeyManager, NewKeySpec, Permission,
    RevocationCause, Validity,
    store::{KeyManagementStore, NoDirectory, Remembered},
};
use keygate_sqlx::{Postgres, PostgresStore, Settings, Wakes};
use line::Line;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

/// What the processes have to do without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Case {
    Notified,
    NotNotified,
    ListenerFrozen,
    DatabaseFrozen,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_opens_after_the_lease() {
    on(async |server: &Server| {
        let store = server.open().await;
        let mut changers = JoinSet::new();
        for number in 0..4 {
            let key = stored(&store, personal("ada"), &format!("key-{number}")).await;
            let store = store.clone();
            changers.spawn(async move {
                loop {
                    for change in [disable(&key), enable(&key)] {
                        let _ = store.change(change).await.unwrap();
                        sleep(Duration::from_millis(2)).await;
                    }
                }
            });
        }
        // One after the other: they would take the processor from each other.
        for case in [Case::Notified, Case::NotNotified, Case::ListenerFrozen, Case::DatabaseFrozen] {
            check(server, &store, case).await;
        }
    })
    .await;
}

async fn check(server: &Server, store: &PostgresStore, case: Case) {
    let samples = env::var("SQL_NODES_SAMPLES").map_or(SAMPLES, |samples| samples.parse().unwrap());
    let line = Line::new(server).await;
    let through_line = server.options.clone().host("127.0.0.1").port(line.port);
    let through_line: String = sqlx::ConnectOptions::to_url_lossy(&through_line).into();
    let direct = server.url();
    let (url, wakes) = match case {
        Case::Notified => (&direct, Some(&direct)),
        Case::NotNotified => (&direct, None),
        Case::ListenerFrozen => (&direct, Some(&through_line)),
        Case::DatabaseFrozen => (&through_line, None),
    };
    let mut nodes = start(url, wakes).await;
    let keys = KeyManager::new(ISSUER, store.clone());
    if case == Case::ListenerFrozen {
        line.silence();
    }
    let mut times = Vec::new();
    while times.len() < samples {
        times.extend(round(&mut nodes, &keys, case, &line).await);
        if case == Case::DatabaseFrozen {
            // Those that were frozen would first have to find out which of their connections work.
            line.restore_new();
            nodes = start(url, wakes).await;
        }
    }
    times.sort_unstable();
    let percent = |percent: usize| times.get((times.len() * percent).div_ceil(100) - 1).unwrap().as_millis();
    println!(
        "nodes: {case:?}: {} keys revoked, {NODES} processes, tick {TICK:?}, lease {LEASE:?}: opened for {} ms (p50), \
         {} ms (p99), {} ms at the most; {} opened after the lease",
        times.len(),
        percent(50),
        percent(99),
        percent(100),
        times.iter().filter(|time| **time >= LEASE).count(),
    );
    assert!(times.iter().all(|time| *time < LEASE), "{case:?}: {times:?}");
}

async fn start(url: &str, wakes: Option<&String>) -> Vec<Node> {
    let mut nodes: Vec<_> = (0..NODES).map(|_| Node::start(url, wakes)).collect();
    for node in &mut nodes {
        assert_eq!(node.next().await, "ready");
    }
    nodes
}

/// Revokes keys that all processes know, and returns for how long each opened in the process that was the last to see
/// it.
async fn round(nodes: &mut [Node], keys: &KeyManager<PostgresStore>, case: Case, line: &Line) -> Vec<Duration> {
    let actor = Actor::system("test").unwrap();
    let mut revoked = HashMap::new();
    for number in 0..PARALLEL {
        let grant = Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All));
        let spec = NewKeySpec::new(grant, format!("key-{number}").parse().unwrap(), Validity::NEVER_EXPIRES);
        let issued = keys.create(&actor, spec).await.unwrap();
        for node in &mut *nodes {
            node.watch(issued.token.expose_secret());
        }
        revoked.insert(issued.record.id(), 0);
    }
    for node in &mut *nodes {
        for _ in 0..PARALLEL {
            assert!(node.next().await.starts_with("opens "));
        }
    }
    if case == Case::DatabaseFrozen {
        line.silence();
    }
    for (id, at) in &mut revoked {
        keys.revoke(&actor, *id, RevocationCause::Leaked).await.unwrap();
        *at = now();
        // At another moment between two ticks.
        sleep(Duration::from_millis(13)).await;
    }
    let mut times = HashMap::<KeyId, Duration>::new();
    for node in &mut *nodes {
        for _ in 0..PARALLEL {
            let told = node.next().await;
            let [id, how, opened] = told.split(' ').collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(how, if case == Case::DatabaseFrozen { "unavailable" } else { "refused" });
            let id = id.parse().unwrap();
            let opened = opened.parse::<u64>().unwrap().saturating_sub(*revoked.get(&id).unwrap());
            let time = times.entry(id).or_default();
            *time = Duration::from_micros(opened).max(*time);
        }
    }
    times.into_values().collect()
}

/// A process that checks keys.
struct Node {
    process: Child,
    asks: ChildStdin,
    told: mpsc::UnboundedReceiver<String>,
}

impl Node {
    fn start(url: &str, wakes: Option<&String>) -> Self {
        let mut command = child::test("node");
        command.env(URL, url).envs(wakes.map(|url| (WAKES_URL, url))).stdin(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (asks, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, told) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let (mut output, mut line) = (BufReader::new(output), String::new());
            while output.read_line(&mut line).unwrap() > 0 {
                said(&line).map(|said| sender.send(said.to_owned()));
                line.clear();
            }
        });
        Self { process, asks, told }
    }

    fn watch(&mut self, token: &str) {
        writeln!(self.asks, "{token}").unwrap();
    }

    async fn next(&mut self) -> String {
        timeout(Duration::from_secs(30), self.told.recv()).await.unwrap().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
#[ignore = "a process of the other test"]
fn node() {
    let Ok(url) = env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = Settings::new().with_connect_limit(LIMIT).with_answer_limit(LIMIT);
        let open = async || PostgresStore::open(&Postgres::connect(&url, settings.clone()).await?).await;
        // The limits are for the look-ups: on a busy machine, connecting may take longer.
        let store = loop {
            match open().await {
                Ok(store) => break store,
                Err(error) => eprintln!("{error}"),
            }
            sleep(Duration::from_millis(100)).await;
        };
        let cache = CachedStore::new(store, LEASE);
        let wakes = match env::var(WAKES_URL) {
            Ok(url) => {
                let database = Postgres::connect(&url, Settings::new()).await.unwrap();
                Some(database.wakes().await.unwrap())
            }
            Err(_) => None,
        };
        tokio::spawn(follow(cache.clone(), wakes));
        say(format_args!("ready"));
        let (sender, mut tokens) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for token in io::stdin().lines() {
                let _ = sender.send(token.unwrap());
            }
        });
        let gate = Gate::new(ISSUER, cache);
        while let Some(token) = tokens.recv().await {
            tokio::spawn(watch(gate.clone(), token));
        }
    });
}

/// Ticks on a timer, and sooner when it is woken.
async fn follow(cache: CachedStore<PostgresStore>, mut wakes: Option<Wakes>) {
    loop {
        // One that fails or is late confirms nothing, and the next one is on time.
        let ticking = cache.clone();
        tokio::spawn(async move { ticking.tick().await });
        match &mut wakes {
            Some(wakes) => drop(timeout(TICK, wakes.next()).await),
            None => sleep(TICK).await,
        }
    }
}

/// Asks for a key again and again, and says when it first opens, and when it opened last. A request counts by its
/// start.
async fn watch(gate: Gate<CachedStore<PostgresStore>, NoDirectory, Remembered>, token: String) {
    let (mut id, mut opened) = (None, now());
    loop {
        let start = now();
        match gate.authenticate(&token).await {
            Ok(key) => {
                opened = start;
                if id.replace(key.id()).is_none() {
                    say(format_args!("opens {}", key.id()));
                }
            }
            Err(AuthenticateError::Unavailable(_)) if is_passing(opened) => {}
            Err(error) => {
                let how = if matches!(error, AuthenticateError::Unavailable(_)) { "unavailable" } else { "refused" };
                return say(format_args!("{} {how} {opened}", id.unwrap()));
            }
        }
        sleep(Duration::from_micros(500)).await;
    }
}

/// On a busy machine a look-up may take longer than the lease, which is unavailable as well; the next one is another
/// one.
fn is_passing(opened: u64) -> bool {
    Duration::from_micros(now().saturating_sub(opened)) < LIMIT
}

/// Microseconds of a clock that all processes share.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros().try_into().unwrap()
}

const SAMPLES: usize = 20;
const NODES: usize = 3;
/// How many keys are revoked in a round; each is asked for in each process, again and again.
const PARALLEL: usize = 10;
const TICK: Duration = Duration::from_millis(100);
const LEASE: Duration = Duration::from_millis(250);
/// For how long a process waits for the database.
const LIMIT: Duration = Duration::from_secs(1);
const URL: &str = "KEYGATE_TEST_NODE_URL";
const WAKES_URL: &str = "KEYGATE_TEST_NODE_WAKES_URL";
