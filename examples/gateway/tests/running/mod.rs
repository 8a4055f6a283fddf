//! The real binary, and those who talk to it over sockets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and what is skipped is told"
)]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of it")]

use core::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) const PREDICT: &str = "/models/abcd1234/environments/production/predict";

/// A gateway that runs, and the key that it printed, if it was the first start of its database.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: String,
    /// Where the server's own numbers are.
    pub(crate) operations: String,
    pub(crate) admin: String,
    log: Arc<Mutex<String>>,
}

/// How to start a gateway.
pub(crate) struct Start {
    command: Command,
    reads_log: bool,
}

impl Start {
    pub(crate) fn new() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate-gateway"));
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, reads_log: true }
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.arg("--data").arg(folder);
        self
    }

    /// Nobody reads the log.
    pub(crate) fn stuck_log(mut self) -> Self {
        self.reads_log = false;
        self
    }

    pub(crate) fn run(mut self) -> Gateway {
        // Free a moment ago, and asked for by nobody else: the numbers count up.
        let operations = free_address();
        let mut child = self.command.args(["--operations", &operations]).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let written = Arc::clone(&log);
        if self.reads_log {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = written.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            });
        } else {
            // Held open, and never read.
            Box::leak(Box::new(stderr));
        }
        let (mut admin, mut address) = (String::new(), None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if line.trim().starts_with("acmep1_") {
                admin = line.trim().into();
            }
            if let Some(at) = line.strip_prefix("listening on ") {
                address = Some(at.to_owned());
                break;
            }
        }
        let Some(address) = address else {
            thread::sleep(Duration::from_millis(100));
            panic!("the server ended: {}", log.lock().unwrap());
        };
        thread::spawn(move || lines.for_each(drop));
        Gateway { child, address, operations, admin, log }
    }
}

/// A gateway on a folder that goes with the test.
pub(crate) fn alone(arguments: &[&str]) -> (TempDir, Gateway) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new().folder(folder.path()).arguments(arguments).run();
    (folder, gateway)
}

impl Gateway {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request on a connection of its own, and reads the answer to its end.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        self.try_send(method, path, fields, body).expect("an answer")
    }

    /// `None` where there is no whole answer.
    pub(crate) fn try_send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Option<Reply> {
        let mut stream = open(&self.address, method, path, fields, body).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Reply::read(&bytes)
    }

    /// As [`Gateway::send`], with a key.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, &[("authorization", &format!("Bearer {token}"))], body)
    }

    /// Sends a request with a key, and hands out the socket.
    pub(crate) fn open(&self, token: &str, method: &str, path: &str, body: &str) -> TcpStream {
        open(&self.address, method, path, &[("authorization", &format!("Bearer {token}"))], body).unwrap()
    }

    pub(crate) fn predict(&self, token: &str) -> u16 {
        self.ask(token, "POST", PREDICT, "{}").status
    }

    /// Makes a key of the team `core` as the administrator.
    pub(crate) fn make(&self, name: &str, kind: &str, more: Value) -> Key {
        let mut body = json!({ "name": name, "type": kind });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let reply = self.ask(&self.admin, "POST", "/v1/teams/core/api_keys", &body.to_string()).expect(200).json();
        Key {
            token: reply["api_key"].as_str().unwrap().into(),
            prefix: reply["key"]["prefix"].as_str().unwrap().into(),
        }
    }

    pub(crate) fn revoke(&self, key: &Key) {
        self.ask(&self.admin, "DELETE", &format!("/v1/api_keys/{}", key.prefix), "").expect(200);
    }

    /// Changes a key as the administrator.
    pub(crate) fn change(&self, key: &Key, what: &str, body: &str) -> Reply {
        self.ask(&self.admin, "POST", &format!("/v1/api_keys/{}/{what}", key.prefix), body)
    }

    /// The server's own numbers.
    pub(crate) fn numbers(&self) -> String {
        self.operation("/metrics").expect(200).body
    }

    /// One of the server's own numbers, by its name and labels.
    pub(crate) fn number(&self, name: &str) -> f64 {
        let text = self.numbers();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Asks at the operations address.
    pub(crate) fn operation(&self, path: &str) -> Reply {
        let mut stream = open(&self.operations, "GET", path, &[], "").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::read(&bytes).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(15), "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the server as a supervisor does, and returns how it ended and what it logged.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.ended();
        thread::sleep(Duration::from_millis(50));
        (status, self.log())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key that was made.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) token: String,
    pub(crate) prefix: String,
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(name: &str, id: u32) {
    let status = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().unwrap();
    assert!(status.success());
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Sends a request, and hands out the socket.
pub(crate) fn open(
    address: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !fields.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    Ok(stream)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8(bytes.into()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
            .collect();
        let is_chunked = fields.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if is_chunked { joined(body) } else { body.into() };
        Some(Self { status, fields, body })
    }

    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// All that a client sees and that does not change from one request to the next.
    pub(crate) fn seen(&self) -> String {
        let changes = ["date", "x-request-id"];
        let fields: Vec<_> = self.fields.iter().filter(|(name, _)| !changes.contains(&name.as_str())).collect();
        format!("{} {fields:?} {}", self.status, self.body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Expects a refusal for a reason.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, reason: &str) -> Self {
        assert_eq!((self.status, self.json()["reason"].as_str()), (status, Some(reason)), "{self:?}");
        self
    }
}

/// Takes the chunks of a body together.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(after.get(..size).unwrap());
        rest = after.get(size..).unwrap().strip_prefix("\r\n").unwrap();
    }
    body
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A database of the test's own on the PostgreSQL server, if there is one.
pub(crate) fn postgres() -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = env::var("KEYGATE_TEST_POSTGRES") else {
        skipped("postgres", "set KEYGATE_TEST_POSTGRES to a postgres:// URL");
        return None;
    };
    let name = format!("gateway_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    runtime().block_on(async {
        let pool = PgPool::connect(&url).await.unwrap();
        pool.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        pool.close().await;
    });
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

/// Says what is not there; where `CI` is set, that is a failure.
pub(crate) fn skipped(what: &str, how: &str) {
    assert!(env::var_os("CI").is_none(), "{what} is missing: {how}");
    println!("skipped: {what}: {how}");
}

/// The SQLite file in a folder of a gateway.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("keygate.sqlite")
}

/// How often a long form repeats what the short form does once.
pub(crate) fn rounds(short: u32) -> u32 {
    env::var("KEYGATE_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(short)
}
