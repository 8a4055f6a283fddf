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
    env, io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use client::Server;

/// Stands between the server and its database, and cuts the line when told so.
struct Line {
    address: String,
    is_up: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap().to_string(),
            is_up: Arc::new(AtomicBool::new(true)),
            open: Arc::default(),
        };
        let (is_up, open) = (Arc::clone(&line.is_up), Arc::clone(&line.open));
        thread::spawn(move || {
            for near in listener.incoming().map(Result::unwrap) {
                // Whom nobody serves sees the connection end at once.
                if is_up.load(Ordering::SeqCst) {
                    let far = TcpStream::connect(&database).unwrap();
                    open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                    forward(near.try_clone().unwrap(), far.try_clone().unwrap());
                    forward(far, near);
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

fn forward(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[test]
fn a_lost_database_is_503_and_comes_back() {
    let Ok(url) = env::var("KEYGATE_TEST_POSTGRES") else {
        assert!(env::var_os("CI").is_none(), "set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        println!("skipped: postgres: set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        return;
    };
    let (before, rest) = url.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let line = Line::to(address.into());
    let database = format!("{before}@{}/{path}", line.address);
    let binary = env!("CARGO_BIN_EXE_keygate-example-axum");
    let server = Server::start(binary, &["--bootstrap", "--database", &database], 12);
    let ask = |key: &str| server.ask(key, "GET", "/teams/core/secrets", "");
    for _ in 0..3 {
        ask("full").expect(200);
        ask("revoked").expect(401);
        line.cut();
        // Neither an allow, nor "the key is not valid": for nobody.
        for key in ["full", "revoked", "personal"] {
            let reply = ask(key).expect(503);
            assert_eq!(reply.json()["type"], "urn:keygate:problem:unavailable");
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
