//! A server that runs, and how it is asked: the real binary, over real sockets.
//!
//! A test file takes it with `#[path = "../common/mod.rs"] mod common;`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use core::time::Duration;
use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Instant,
};

use keygate::{
    Actor, Grant, Issuer, KeyManager, NewKeySpec, TeamId, TeamRole, UserId, Validity, store::BoxedKeyManagementStore,
};
use keygate_sqlx::{Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory, SqliteStore};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use ureq::http;

pub(crate) const ACME: Issuer = Issuer::from_static("acme");

/// Where a server keeps its data: gone with the value.
#[derive(Debug)]
pub(crate) enum Place {
    Folder(TempDir),
    Postgres { url: String, of: String, name: String },
}

impl Place {
    /// A folder of its own, in memory where the system has such a place: a disk that is busy with other things makes
    /// each commit wait.
    pub(crate) fn folder() -> Self {
        Self::Folder(TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap())
    }

    /// A database of its own on the server that `KEYGATE_TEST_POSTGRES` names. Says where it is skipped; with `CI`,
    /// that fails.
    pub(crate) fn postgres() -> Option<Self> {
        let Ok(of) = env::var("KEYGATE_TEST_POSTGRES") else {
            skipped("PostgreSQL", "run the tests in with_postgres.sh");
            return None;
        };
        let name = format!("gateway_{:016x}", random());
        run(async {
            let mut connection = sqlx::PgConnection::connect(&of).await.unwrap();
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        });
        let (server, _) = of.rsplit_once('/').unwrap();
        Some(Self::Postgres { url: format!("{server}/{name}"), of, name })
    }

    /// A folder, and a database of PostgreSQL where there is one.
    pub(crate) fn each() -> Vec<Self> {
        [Some(Self::folder()), Self::postgres()].into_iter().flatten().collect()
    }

    /// The folder that holds the SQLite file.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().join("data"),
            Self::Postgres { .. } => panic!("no folder"),
        }
    }

    /// The command that starts a server here, on a free port.
    pub(crate) fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]);
        match self {
            Self::Folder(_) => command.arg("--data").arg(self.path()),
            Self::Postgres { url, .. } => command.env("KEYGATE_DATABASE", url),
        };
        command
    }

    /// Adds a user beside those of the gateway, and returns the token of a personal key of theirs. A server that runs
    /// knows their name a second later.
    pub(crate) fn add_user(&self, user: &str, roles: &[(&str, TeamRole)]) -> String {
        let id: UserId = user.parse().unwrap();
        let roles: Vec<(TeamId, TeamRole)> = roles.iter().map(|(team, role)| (team.parse().unwrap(), *role)).collect();
        let insert = "INSERT INTO gateway_users (id, name, email, is_administrator) VALUES ($1, $1, $2, FALSE)";
        let email = format!("{user}@example.com");
        run(async {
            macro_rules! add {
                ($database:expr, $store:ident, $directory:ident) => {{
                    let database = $database;
                    sqlx::query(insert).bind(user).bind(&email).execute(database.pool()).await.unwrap();
                    let directory = $directory::open(&database).await.unwrap();
                    for (team, role) in &roles {
                        directory.set_member(&id, team, *role).await.unwrap();
                    }
                    let store = $store::open(&database).await.unwrap();
                    let keys = KeyManager::new(ACME, BoxedKeyManagementStore::new(store)).with_directory(directory);
                    let spec =
                        NewKeySpec::new(Grant::personal(id.clone()), "own".parse().unwrap(), Validity::NEVER_EXPIRES);
                    let issued = keys.create(&Actor::system("test").unwrap(), spec).await.unwrap();
                    issued.token.expose_secret().to_owned()
                }};
            }
            match self {
                Self::Folder(_) => {
                    let file = self.path().join("keygate.sqlite");
                    add!(Sqlite::open(&file, Settings::new()).await.unwrap(), SqliteStore, SqliteDirectory)
                }
                Self::Postgres { url, .. } => {
                    add!(Postgres::connect(url, Settings::new()).await.unwrap(), PostgresStore, PostgresDirectory)
                }
            }
        })
    }

    /// As [`Place::execute`], in a file that is made here.
    pub(crate) fn execute_new(&self, sql: &str) {
        std::fs::File::create_new(self.path().join("keygate.sqlite")).unwrap();
        self.execute(sql);
    }

    /// Runs statements in the database, beside any server.
    pub(crate) fn execute(&self, sql: &str) {
        run(async {
            match self {
                Self::Folder(_) => {
                    let file = self.path().join("keygate.sqlite");
                    let mut connection = sqlx::SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
                    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
                }
                Self::Postgres { url, .. } => {
                    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
                }
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Postgres { of, name, .. } = self {
            let drop_it = async {
                let mut connection = sqlx::PgConnection::connect(of).await?;
                connection.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await
            };
            // The whole server is thrown away in the end.
            drop(run(drop_it));
        }
    }
}

/// The binary without any option, and without those of this process's environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate-gateway"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("KEYGATE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// All that it printed before it listened.
    pub(crate) printed: String,
    /// The administrator's key, if it was printed.
    first_key: Option<String>,
    agent: ureq::Agent,
    log: Option<JoinHandle<String>>,
    // Kept open: a server that nobody reads any more is another test.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server in this place, and waits until it listens.
    pub(crate) fn start(place: &Place) -> Self {
        Self::spawn(place.command())
    }

    /// Starts a command, and waits until it listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        let address = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                panic!("the server ended: {}", log.join().unwrap());
            }
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.trim().to_owned();
            }
            printed.push_str(&line);
        };
        let first_key = printed.lines().map(str::trim).find(|line| line.starts_with("acmep1_")).map(Into::into);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            // A request that is refused before its body came ends its connection: none is used again.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        Self { child, address, printed, first_key, agent: agent.into(), log: Some(log), _stdout: stdout }
    }

    /// The administrator's key.
    #[track_caller]
    pub(crate) fn key(&self) -> &str {
        self.first_key.as_deref().unwrap()
    }

    /// The key that was printed, if one was.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.first_key.as_deref()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request with a key and JSON, if there is any.
    pub(crate) fn ask(&self, key: &str, method: &str, path: &str, body: impl Into<Option<Value>>) -> Reply {
        let bearer = format!("Bearer {key}");
        let mut fields = vec![("authorization", bearer.as_str())];
        let body = body.into().map(|body| body.to_string());
        if body.is_some() {
            fields.push(("content-type", "application/json"));
        }
        self.send(method, path, &fields, body.unwrap_or_default())
    }

    pub(crate) fn get(&self, key: &str, path: &str) -> Reply {
        self.ask(key, "GET", path, None)
    }

    pub(crate) fn post(&self, key: &str, path: &str, body: impl Into<Option<Value>>) -> Reply {
        self.ask(key, "POST", path, body)
    }

    /// Sends a request as it is said here.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        let mut request = http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = body.as_ref();
        let answer = if body.is_empty() && method != "POST" {
            self.agent.run(request.body(()).unwrap())
        } else {
            let request = request.body(body).unwrap();
            self.agent.run(request)
        };
        let mut answer = answer.unwrap();
        let fields = answer.headers().iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Reply { status: answer.status().as_u16(), fields, body: answer.body_mut().read_to_string().unwrap() }
    }

    /// Ends the server as a supervisor does, and returns how it ended and what it logged.
    pub(crate) fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the server does not end");
            thread::sleep(Duration::from_millis(10));
        };
        (status, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must not start: it ends with code 2, and one line of it says why.
#[track_caller]
pub(crate) fn refused(mut command: Command) -> String {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    refused_by(child)
}

/// As [`refused`], of one that runs already.
#[track_caller]
pub(crate) fn refused_by(mut child: Child) -> String {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("the server started, or hangs");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "nothing is printed");
    // On a busy machine the log warns of a statement that was slow.
    let lines: Vec<_> = error.lines().filter(|line| !line.contains(r#""message":"slow statement"#)).collect();
    let [line] = lines[..] else { panic!("one line: {error}") };
    line.to_owned()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Expects a problem with this status and rule.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, reason: impl Into<Option<&'static str>>) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.field("content-type"), Some("application/problem+json"), "{reply:?}");
        assert_eq!(reply.json().get("status").and_then(Value::as_u64), Some(status.into()), "{reply:?}");
        let reason: Option<&str> = reason.into();
        assert_eq!(reply.json().get("reason").and_then(Value::as_str), reason, "{reply:?}");
        reply
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    /// All that a client sees and that is not of this one request.
    pub(crate) fn seen(&self) -> String {
        let fields = self.fields.iter().filter(|(name, _)| name != "date" && name != "x-request-id");
        format!("{} {:?} {}", self.status, fields.collect::<Vec<_>>(), self.body)
    }
}

/// Says that something is skipped, because a tool is missing; with `CI`, that is a failure.
pub(crate) fn skipped(tool: &str, how: &str) {
    assert!(env::var_os("CI").is_none(), "{tool} is missing: {how}");
    #[expect(clippy::print_stdout, reason = "what is skipped is told")]
    {
        println!("skipped: {tool}: {how}");
    }
}

/// Returns every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    keygate::Randomness::fill(&keygate::SystemRandomness, &mut bytes).unwrap();
    u64::from_be_bytes(bytes)
}
