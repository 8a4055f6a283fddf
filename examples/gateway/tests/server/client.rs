//! Starts an example's real binary and talks to it over sockets; shared by the tests of all example servers.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use core::{convert::Infallible, time::Duration};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

/// A server that runs, and the keys that it printed.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) keys: BTreeMap<String, String>,
    // In a mutex so that threads can share the server.
    log: Mutex<Receiver<String>>,
    /// Goes when the server has ended.
    running: Option<Sender<Infallible>>,
}

impl Server {
    /// Starts `binary` on a free port, and waits until it has printed `keys` keys.
    pub(crate) fn start(binary: &str, arguments: &[&str], keys: usize) -> Self {
        Self::start_with(binary, arguments, keys, true)
    }

    /// As [`Server::start`], but nobody reads the log until the server has ended.
    pub(crate) fn start_with_stuck_log(binary: &str, arguments: &[&str], keys: usize) -> Self {
        Self::start_with(binary, arguments, keys, false)
    }

    fn start_with(binary: &str, arguments: &[&str], keys: usize, reads_log: bool) -> Self {
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut stderr = child.stderr.take().unwrap();
        let (sender, log) = channel();
        let (ended, end) = channel::<Infallible>();
        thread::spawn(move || {
            if !reads_log {
                let _ = end.recv();
            }
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            // Nobody asks for it where the test did not end the server.
            let _ = sender.send(text);
        });
        let first = lines.next().unwrap_or_else(|| panic!("the server ended: {}", log.recv().unwrap()));
        let address = first.strip_prefix("listening on http://").unwrap().into();
        let keys = lines.by_ref().take(keys).map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            (line["name"].as_str().unwrap().into(), line["token"].as_str().unwrap().into())
        });
        Self { address, keys: keys.collect(), child, log: Mutex::new(log), running: Some(ended) }
    }

    pub(crate) fn bearer(&self, key: &str) -> String {
        format!("Bearer {}", self.keys.get(key).unwrap_or_else(|| panic!("no key {key}")))
    }

    /// Sends a request on a connection of its own, and reads the answer to its end.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = self.open(method, path, fields, body);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::read(&bytes)
    }

    /// As [`Server::send`], with a key.
    pub(crate) fn ask(&self, key: &str, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, &[("authorization", &self.bearer(key))], body)
    }

    /// Sends a request, and hands out the socket.
    pub(crate) fn open(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !fields.iter().any(|(name, _)| *name == "host") {
            request.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        stream
    }

    /// Ends the server as a supervisor does, and returns how it ended and what it logged.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(15), "the server does not end");
            thread::sleep(Duration::from_millis(10));
        };
        self.running = None;
        (status, self.log.get_mut().unwrap().recv().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.into()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
            .collect();
        let is_chunked = fields.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if is_chunked { joined(body) } else { body.into() };
        Self { status, fields, body }
    }

    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// All that a client sees and that does not change with time.
    pub(crate) fn seen(&self) -> String {
        let fields: Vec<_> = self.fields.iter().filter(|(name, _)| name != "date").collect();
        format!("{} {fields:?} {}", self.status, self.body)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Expects a problem with challenges: the `error` of the first, if it has one, and the `reason`, if there is one.
    #[track_caller]
    pub(crate) fn expect_challenge(self, status: u16, error: Option<&str>, reason: Option<&str>) -> Self {
        let reply = self.expect(status);
        let error = error.map_or(String::new(), |error| format!(", error=\"{error}\""));
        let bearer = format!("Bearer realm=\"models\"{error}");
        assert_eq!(reply.field("www-authenticate"), [bearer.as_str(), "Api-Key realm=\"models\""]);
        assert_eq!(reply.field("content-type"), ["application/problem+json"]);
        assert_eq!(reply.json()["status"], status);
        assert_eq!(reply.json()["reason"].as_str(), reason);
        reply
    }
}

/// Takes the chunks of a body together.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(after.get(..size).unwrap());
        rest = after.get(size..).unwrap().strip_prefix("\r\n").unwrap();
    }
}
