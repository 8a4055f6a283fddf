//! The database goes away and comes back: 503 in between, and no restart.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "these are tests, and what is skipped is told")]
#![expect(dead_code, reason = "the client is shared with other tests, which use more of it")]

#[path = "server/client.rs"]
mod client;

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use client::Server;

/// Stands between the server and its database, and cuts the line, or lets nothing through, when told so.
struct Line {
    address: String,
    is_up: Arc<AtomicBool>,
    is_frozen: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap().to_string(),
            is_up: Arc::new(AtomicBool::new(true)),
            is_frozen: Arc::default(),
            open: Arc::default(),
        };
        let (is_up, open) = (Arc::clone(&line.is_up), Arc::clone(&line.open));
        let is_frozen = Arc::clone(&line.is_frozen);
        thread::spawn(move || {
            for near in listener.incoming().map(Result::unwrap) {
                // Whom nobody serves sees the connection end at once.
                if is_up.load(Ordering::SeqCst) {
                    let far = TcpStream::connect(&database).unwrap();
                    open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                    forward(near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&is_frozen));
                    forward(far, near, Arc::clone(&is_frozen));
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
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_frozen: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            while is_frozen.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
            if to.write_all(buffer.get(..length).unwrap()).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Starts a server whose database is behind a line.
fn start() -> Option<(Line, Server)> {
    let Ok(url) = env::var("KEYGATE_TEST_POSTGRES") else {
        assert!(env::var_os("CI").is_none(), "set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        println!("skipped: postgres: set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        return None;
    };
    let (before, rest) = url.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let line = Line::to(address.into());
    let database = format!("{before}@{}/{path}", line.address);
    let binary = env!("CARGO_BIN_EXE_keygate-gateway");
    let server = Server::start(binary, &["--bootstrap", "--database", &database], 12);
    Some((line, server))
}

/// The client waits fifteen seconds for the end.
#[test]
fn it_ends_though_its_database_is_frozen() {
    let _one_at_a_time = ONE.lock().unwrap();
    let Some((line, server)) = start() else { return };
    server.ask("full", "GET", "/teams/core/secrets", "").expect(200);
    line.is_frozen.store(true, Ordering::SeqCst);
    server.ask("full", "GET", "/teams/core/secrets", "").expect(503);
    let (status, log) = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains(r#""failed":"#), "{log}");
}

/// Both start with the same keys in one database.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn a_lost_database_is_503_and_comes_back() {
    let _one_at_a_time = ONE.lock().unwrap();
    let Some((line, server)) = start() else { return };
    let ask = |key: &str| server.ask(key, "GET", "/teams/core/secrets", "");
    for _ in 0..3 {
        ask("full").expect(200);
        ask("revoked").expect(401);
        line.cut();
        // Neither an allow, nor "the key is not valid": for nobody.
        for key in ["full", "revoked", "personal"] {
            let reply = ask(key).expect(503);
            assert_eq!(reply.json()["type"], "/problems/unavailable");
            assert!(reply.field("www-authenticate").is_empty());
        }
        line.mend();
        let start = Instant::now();
        while ask("full").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not come back");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
