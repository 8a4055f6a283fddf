//! The database is gone, or does not answer: 503 in bounded time, and no restart.
//!
//! A program of its own, since nothing else can use a server that is stopped.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "these are tests, and what they measure is told")]

mod running;

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use serde_json::json;
use sqlx::PgPool;

use running::{Gateway, Key, PREDICT, Start, postgres, runtime, signal};

/// A request that the database does not answer is answered after this at the latest: two seconds for a connection, four
/// for an answer, and once more where a directory is asked behind the store.
const BOUND: Duration = Duration::from_secs(8);
/// How long it may take until everything is as before.
const RECOVERY: Duration = Duration::from_secs(10);

/// Stands between the server and its database, and cuts the line, or lets nothing through, when told so.
struct Line {
    address: String,
    is_up: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap().to_string(),
            is_up: Arc::new(AtomicBool::new(true)),
            is_silent: Arc::default(),
            open: Arc::default(),
        };
        let (is_up, open, is_silent) = (Arc::clone(&line.is_up), Arc::clone(&line.open), Arc::clone(&line.is_silent));
        thread::spawn(move || {
            for near in listener.incoming().map(Result::unwrap) {
                // Whom nobody serves sees the connection end at once.
                if is_up.load(Ordering::SeqCst) {
                    let far = TcpStream::connect(&database).unwrap();
                    open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                    forward(near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&is_silent));
                    forward(far, near, Arc::clone(&is_silent));
                }
            }
        });
        line
    }

    fn cut(&self) {
        self.is_up.store(false, Ordering::SeqCst);
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }

    /// What is open now never hears anything again, as behind a firewall that forgot it; what is opened later works.
    fn forget(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }
}

/// Forwards while the line speaks; once it was silent, this connection stays so.
fn forward(mut from: TcpStream, mut to: TcpStream, is_silent: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if is_silent.load(Ordering::SeqCst) {
                // Kept open, and read from, without a word.
                while matches!(from.read(&mut buffer), Ok(1..)) {}
                thread::sleep(Duration::from_secs(3600));
            }
            if to.write_all(buffer.get(..length).unwrap()).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// A server whose database is behind a line.
fn behind_a_line(arguments: &[&str]) -> Option<(Line, Gateway)> {
    let url = postgres()?;
    let (before, rest) = url.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let line = Line::to(address.into());
    let database = format!("{before}@{}/{path}", line.address);
    let gateway = Start::new().arguments(&["--database", &database]).arguments(arguments).run();
    Some((line, gateway))
}

/// Asks each route that needs the database, and expects that none is answered late or by anything but 503.
fn expect_unavailable(gateway: &Gateway, key: &Key) {
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let start = Instant::now();
        let reply = gateway.ask(token, method, path, body);
        let elapsed = start.elapsed();
        assert_eq!(reply.status, 503, "{path}: {reply:?}");
        assert!(reply.field("www-authenticate").is_empty());
        assert!(elapsed < BOUND, "{path}: {elapsed:?}");
        elapsed
    };
    let unknown = key.token.clone();
    let longest = thread::scope(|scope| {
        let create = json!({ "name": "x", "type": "WORKSPACE_INVOKE" }).to_string();
        let asked: Vec<_> = [
            (key.token.as_str(), "POST", PREDICT, "{}".to_owned()),
            (&gateway.admin, "POST", PREDICT, "{}".into()),
            (&unknown, "GET", "/v1/models", String::new()),
            (&gateway.admin, "POST", "/v1/teams/core/api_keys", create),
            (&gateway.admin, "GET", "/v1/api_keys", String::new()),
            (&gateway.admin, "POST", "/models/abcd1234/production/async_predict", "{}".into()),
        ]
        .into_iter()
        .map(|(token, method, path, body)| scope.spawn(move || ask(token, method, path, &body)))
        .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).max().unwrap()
    });
    println!("503 after {longest:.1?} at the latest");
    let start = Instant::now();
    assert_eq!(gateway.operation("/readyz").status, 503);
    assert!(start.elapsed() < BOUND);
    // The process itself is well, and says so at once.
    assert_eq!(gateway.send("GET", "/healthz", &[], "").status, 200);
}

fn expect_recovery(gateway: &Gateway, key: &Key) {
    let start = Instant::now();
    let everything = || {
        gateway.predict(&key.token) == 200
            && gateway.predict(&gateway.admin) == 200
            && gateway.ask(&key.token, "POST", "/models/abcd1234/production/async_predict", "{}").status == 201
            && gateway.operation("/readyz").status == 200
    };
    while !everything() {
        assert!(start.elapsed() < RECOVERY, "it does not come back: {}", gateway.operation("/readyz").body);
        thread::sleep(Duration::from_millis(50));
    }
    println!("everything again after {:.1?}", start.elapsed());
}

#[test]
fn a_lost_database_is_503_and_comes_back() {
    let _one = one_at_a_time();
    let Some((line, gateway)) = behind_a_line(&[]) else { return };
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    for _ in 0..2 {
        line.cut();
        expect_unavailable(&gateway, &key);
        line.mend();
        expect_recovery(&gateway, &key);
    }
    line.cut();
    assert_eq!(gateway.terminate().0.code(), Some(0));
}

/// A node that has lost its database serves what it remembers for the lease, and then nothing.
#[test]
fn a_node_without_its_database_serves_for_the_lease_and_no_longer() {
    const LEASE: Duration = Duration::from_secs(2);
    let _one = one_at_a_time();
    let Some((line, gateway)) = behind_a_line(&["--cache-seconds", "2"]) else { return };
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    for token in [&key.token, &gateway.admin] {
        assert_eq!(gateway.predict(token), 200);
    }
    let start = Instant::now();
    line.cut();
    let mut last = Duration::ZERO;
    while start.elapsed() < LEASE * 2 {
        let began = start.elapsed();
        for token in [&key.token, &gateway.admin] {
            match gateway.predict(token) {
                200 => last = began,
                status => assert_eq!(status, 503),
            }
        }
    }
    println!("served from memory for {last:.1?} after the database was lost; lease {LEASE:?}");
    assert!(last > LEASE / 4 && last < LEASE);
    line.mend();
    expect_recovery(&gateway, &key);
}

/// Connections of which no end ever tells that they are gone: the server makes others, for its own statements, too.
#[test]
fn connections_that_are_silent_for_ever_are_left() {
    let _one = one_at_a_time();
    let Some((line, gateway)) = behind_a_line(&[]) else { return };
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    gateway.ask(&key.token, "POST", "/models/abcd1234/production/async_predict", "{}").expect(201);
    line.forget();
    expect_unavailable(&gateway, &key);
    line.is_silent.store(false, Ordering::SeqCst);
    expect_recovery(&gateway, &key);
}

/// Stops the whole server of the tests, and lets it go on in any case.
struct Frozen(Vec<u32>);

impl Frozen {
    fn new(url: &str) -> Self {
        let folder: String = runtime().block_on(async {
            let pool = PgPool::connect(url).await.unwrap();
            let (folder,): (String,) = sqlx::query_as("SHOW data_directory").fetch_one(&pool).await.unwrap();
            pool.close().await;
            folder
        });
        let postmaster: u32 =
            fs::read_to_string(format!("{folder}/postmaster.pid")).unwrap().lines().next().unwrap().parse().unwrap();
        // First the one that makes others.
        signal("STOP", postmaster);
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        let children = children.split_ascii_whitespace().map(|id| id.parse().unwrap());
        let all: Vec<u32> = core::iter::once(postmaster).chain(children).collect();
        all.iter().skip(1).for_each(|id| signal("STOP", *id));
        Self(all)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for id in &self.0 {
            // One that was told to end meanwhile may be gone already.
            drop(Command::new("kill").args(["-CONT", &id.to_string()]).output());
        }
    }
}

/// Nobody else can use the server meanwhile.
static ONE: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_frozen_database_is_503_and_comes_back() {
    let _one = one_at_a_time();
    let Some(url) = postgres() else { return };
    let gateway = Start::new().arguments(&["--database", &url, "--max-requests", "20"]).run();
    let key = gateway.make("invoke", "WORKSPACE_INVOKE", json!({}));
    let frozen = Frozen::new(&url);
    expect_unavailable(&gateway, &key);
    // More than it takes at a time: those beyond are answered at once, and the others in time.
    let start = Instant::now();
    let (mut at_once, mut late) = (0, 0);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(|| (gateway.predict(&key.token), start.elapsed()))).collect();
        thread::sleep(Duration::from_millis(500));
        assert!(gateway.number("keygate_in_flight") <= 20.0);
        for asked in asked {
            let (status, elapsed) = asked.join().unwrap();
            assert_eq!(status, 503);
            if elapsed < Duration::from_secs(1) { at_once += 1 } else { late += 1 }
        }
    });
    println!("frozen: {at_once} of 60 refused at once, {late} within {:.1?}", start.elapsed());
    assert!(at_once >= 40 && start.elapsed() < BOUND);
    drop(frozen);
    expect_recovery(&gateway, &key);
    let frozen = Frozen::new(&url);
    let start = Instant::now();
    assert_eq!(gateway.terminate().0.code(), Some(0));
    println!("ended in {:.1?} with a frozen database", start.elapsed());
    drop(frozen);
}
