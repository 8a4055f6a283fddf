//! Requests a second, latency, and processor time a request: the gateway beside a bare handler, in one run.
//!
//! ```text
//! bash crates/keygate-sqlx/with_postgres.sh cargo bench -p keygate-gateway --bench load
//! ```
//!
//! All servers run at once and are asked in turn, so that whatever else this machine does concerns each. 10,000 keys,
//! half of them personal, and 5 % of the requests with a token that opens nothing. Needs `wrk`. `KEYGATE_BENCH_ROUNDS`
//! and `KEYGATE_BENCH_SECONDS` make it longer; a name as an argument, such as `sqlite`, runs only what begins so.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this measures, and prints what it measured"
)]

#[path = "../tests/running/mod.rs"]
mod running;

use core::fmt::Write as _;
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use axum::{Json, Router, extract, routing::post};
use keygate::{
    Actor, EnvironmentScope, Grant, Issuer, KeyKind, KeyManager, ModelScope, NewKeySpec, Permission, SystemRandomness,
    TeamRole, Token, UserId, Validity,
    store::{Directory, KeyManagementStore},
};
use keygate_sqlx::{Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory, SqliteStore};
use running::{Gateway, PREDICT, Start, file, postgres, runtime};
use serde_json::{Value, json};

const KEYS: usize = 10_000;
const USERS: usize = 500;
const CONNECTIONS: &str = "32";
const ACME: Issuer = Issuer::from_static("acme");

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == "--bare") {
        return serve_bare();
    }
    if Command::new("wrk").arg("--version").output().is_err() {
        return running::skipped("wrk", "install wrk");
    }
    let is_wanted =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| name.starts_with(argument.as_str()));
    let number = |name: &str, usual: u32| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (rounds, seconds) = (number("KEYGATE_BENCH_ROUNDS", 4), number("KEYGATE_BENCH_SECONDS", 3));

    let folder = tempfile::tempdir().unwrap();
    let mut served = vec![Served::bare()];
    for seconds in [0, 5] {
        // A folder has one server.
        let data = folder.path().join(format!("data-{seconds}"));
        if is_wanted("sqlite") {
            let fill = |tokens: &mut Vec<String>| {
                runtime().block_on(async {
                    let database = Sqlite::open(file(&data), Settings::new()).await.unwrap();
                    let directory = SqliteDirectory::open(&database).await.unwrap();
                    add_users(&directory, SqliteDirectory::set_member).await;
                    make_keys(SqliteStore::open(&database).await.unwrap(), directory, tokens).await;
                });
            };
            served.push(Served::gateway("SQLite", &["--data", data.to_str().unwrap()], seconds, fill, folder.path()));
        }
        if let Some(url) = is_wanted("postgresql").then(postgres).flatten() {
            let fill = |tokens: &mut Vec<String>| {
                runtime().block_on(async {
                    let database = Postgres::connect(&url, Settings::new()).await.unwrap();
                    let directory = PostgresDirectory::open(&database).await.unwrap();
                    add_users(&directory, PostgresDirectory::set_member).await;
                    make_keys(PostgresStore::open(&database).await.unwrap(), directory, tokens).await;
                });
            };
            served.push(Served::gateway("PostgreSQL", &["--database", &url], seconds, fill, folder.path()));
        }
    }
    let bare_script = served.last().unwrap().script.clone();
    served[0].script = bare_script;

    let mut samples: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for round in 0..=rounds {
        for (at, server) in served.iter().enumerate() {
            let sample = server.ask(seconds);
            // The first round looks up every key for the first time.
            if round > 0 {
                samples.entry(at).or_default().push(sample);
            }
        }
    }
    println!("{rounds} rounds of {seconds} s, {CONNECTIONS} connections, {KEYS} keys; medians");
    println!("{:<28} {:>9} {:>6} {:>9} {:>9} {:>8} {:>6}", "", "req/s", "ratio", "p50", "p99", "cpu/req", "ratio");
    let bare = Sample::median(&samples[&0]);
    for (at, server) in served.iter().enumerate() {
        let median = Sample::median(&samples[&at]);
        println!(
            "{:<28} {:>9.0} {:>6.2} {:>6.2} ms {:>6.2} ms {:>5.1} us {:>6.2}",
            server.name,
            median.rate,
            median.rate / bare.rate,
            median.p50,
            median.p99,
            median.cpu,
            bare.cpu / median.cpu
        );
    }
}

/// What the gateway's handler does, and nothing in front of it.
fn serve_bare() {
    let app = Router::new().route(
        "/models/{model}/environments/{environment}/predict",
        post(async |extract::Path((model, environment)): extract::Path<(String, String)>, Json(input): Json<Value>| {
            let by = json!({ "team": "core", "key": "0000000000000000" });
            Json(json!({
                "model": model, "environment": environment, "deployment": "d1prod", "attributed_to": by, "output": input,
            }))
        }),
    );
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        axum::serve(listener, app).await.unwrap();
    });
}

async fn add_users<'a, D: Directory, F>(
    directory: &'a D,
    set: impl Fn(&'a D, &'a UserId, &'a keygate::TeamId, TeamRole) -> F,
) where
    F: Future<Output = Result<(), D::Error>>,
{
    let core: &keygate::TeamId = Box::leak(Box::new("core".parse().unwrap()));
    for number in 0..USERS {
        let user: &UserId = Box::leak(Box::new(format!("user-{number}").parse().unwrap()));
        assert!(set(directory, user, core, TeamRole::Member).await.is_ok());
    }
}

/// Half of the keys are personal, half are the team's.
async fn make_keys<S: KeyManagementStore, D: Directory>(store: S, directory: D, tokens: &mut Vec<String>) {
    let keys = KeyManager::new(ACME, store).with_directory(directory);
    let actor = Actor::system("bench").unwrap();
    for number in 0..KEYS {
        let grant = if number % 2 == 0 {
            Grant::personal(format!("user-{}", number % USERS).parse().unwrap())
        } else {
            Grant::team("core".parse().unwrap(), Permission::inference_only(EnvironmentScope::All, ModelScope::All))
        };
        let spec = NewKeySpec::new(grant, format!("key-{number}").parse().unwrap(), Validity::NEVER_EXPIRES);
        let issued = keys.create(&actor, spec).await.unwrap_or_else(|_| panic!("a key cannot be made"));
        tokens.push(issued.token.expose_secret().to_owned());
    }
}

enum Process {
    Bare(Child),
    Gateway(Gateway),
}

/// A server that is asked.
struct Served {
    name: String,
    process: Process,
    address: String,
    /// What `wrk` sends.
    script: String,
}

impl Served {
    fn bare() -> Self {
        let mut child = Command::new(env::current_exe().unwrap()).arg("--bare").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { name: "bare handler".into(), process: Process::Bare(child), address, script: String::new() }
    }

    /// A gateway that serves records for `seconds` without confirming them; `fill` makes the keys in its database.
    fn gateway(
        name: &str,
        arguments: &[&str],
        seconds: u8,
        fill: impl FnOnce(&mut Vec<String>),
        folder: &Path,
    ) -> Self {
        let gateway = Start::new().arguments(arguments).arguments(&["--cache-seconds", &seconds.to_string()]).run();
        let mut tokens = Vec::new();
        fill(&mut tokens);
        let bad = KEYS / 20;
        tokens.extend(
            (0..bad)
                .map(|_| Token::generate(ACME, KeyKind::Team, &SystemRandomness).unwrap().expose_secret().to_owned()),
        );
        let mut text = format!("local path = \"{PREDICT}\"\nlocal tokens = {{\n");
        tokens.iter().for_each(|token| writeln!(text, "\"{token}\",").unwrap());
        text.push_str(
            "}\nlocal requests = {}\nlocal next = 0\n\
             function init()\n  for at = 1, #tokens do\n    requests[at] = wrk.format('POST', path,\n      \
             { ['Authorization'] = 'Bearer ' .. tokens[at], ['Content-Type'] = 'application/json' }, '{}')\n  end\nend\n\
             function request()\n  next = (next + 7919) % #requests\n  return requests[next + 1]\nend\n",
        );
        let script = folder.join(format!("{name}-{seconds}.lua")).to_str().unwrap().to_owned();
        fs::write(&script, text).unwrap();
        Self {
            name: format!("{name}, cache {}", if seconds == 0 { "off" } else { "on" }),
            address: gateway.address.clone(),
            process: Process::Gateway(gateway),
            script,
        }
    }

    /// Microseconds of processor time that the process took until now.
    fn processor(&self) -> f64 {
        let id = match &self.process {
            Process::Bare(child) => child.id(),
            Process::Gateway(gateway) => gateway.id(),
        };
        // In ticks of ten milliseconds, of all its threads.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks * 10_000.0
    }

    fn ask(&self, seconds: u32) -> Sample {
        let before = self.processor();
        let url = format!("http://{}", self.address);
        let duration = format!("-d{seconds}s");
        let output = Command::new("wrk")
            .args(["-t1", "-c", CONNECTIONS, &duration, "--latency", "-s", &self.script, &url])
            .output()
            .unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        let after = |start: &str| {
            let line = report.lines().find_map(|line| line.trim().strip_prefix(start));
            line.unwrap_or_else(|| panic!("no {start} in {report}")).trim().to_owned()
        };
        let total: f64 =
            report.lines().find_map(|line| line.trim().split_once(" requests in ")).unwrap().0.parse().unwrap();
        assert!(!report.contains("Socket errors"), "{report}");
        if matches!(self.process, Process::Gateway(_)) {
            let refused: f64 = after("Non-2xx or 3xx responses:").parse().unwrap();
            // The bad ones, and nothing else: 503 would be an answer, too, and a fast one.
            assert!((0.04..0.06).contains(&(refused / total)), "{}: {report}", self.name);
        }
        Sample {
            rate: after("Requests/sec:").parse().unwrap(),
            p50: milliseconds(&after("50%")),
            p99: milliseconds(&after("99%")),
            cpu: (self.processor() - before) / total,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Process::Bare(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn milliseconds(text: &str) -> f64 {
    let split = text.find(|symbol: char| symbol.is_ascii_alphabetic()).unwrap();
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        _ => 1000.0,
    };
    number.parse::<f64>().unwrap() * factor
}

#[derive(Clone, Copy)]
struct Sample {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of processor time a request.
    cpu: f64,
}

impl Sample {
    fn median(samples: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(part).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            rate: of(|sample| sample.rate),
            p50: of(|sample| sample.p50),
            p99: of(|sample| sample.p99),
            cpu: of(|sample| sample.cpu),
        }
    }
}
