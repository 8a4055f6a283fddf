//! Three nodes on one PostgreSQL, each with a cache and under load: for how long each answers with what was before.
//!
//! ```text
//! bash crates/keygate-sqlx/with_postgres.sh cargo test -p keygate-gateway --test nodes -- --nocapture
//! ```
//!
//! `KEYGATE_TEST_ROUNDS=50` makes it longer.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and what they measure is told"
)]

mod running;

use core::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use running::{Gateway, Key, PREDICT, Start, postgres, rounds};
use serde_json::json;

/// The lease: what a node remembers it serves for no longer.
const LEASE: Duration = Duration::from_secs(2);
const NODES: usize = 3;

fn start(database: &str) -> Gateway {
    let lease = LEASE.as_secs().to_string();
    Start::new().arguments(&["--database", database, "--cache-seconds", &lease]).run()
}

/// A client with connections that stay open.
fn client() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn ask(client: &ureq::Agent, gateway: &Gateway, token: &str) -> u16 {
    loop {
        let request = client.post(format!("http://{}{PREDICT}", gateway.address));
        // A server that refuses before the body came ends the connection, and the client may have used it again
        // already.
        let Ok(answer) = request.header("authorization", format!("Bearer {token}")).send_json(json!({})) else {
            continue;
        };
        let status = answer.status().as_u16();
        if answer.into_body().read_to_string().is_ok() {
            return status;
        }
    }
}

/// What measures has the machine for itself.
static ONE: Mutex<()> = Mutex::new(());

/// What ends a key, or a secret of it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Revoke,
    Rotate,
    Disable,
}

impl Change {
    fn by(self, gateway: &Gateway, key: &Key) {
        match self {
            Self::Revoke => gateway.revoke(key),
            Self::Rotate => drop(gateway.change(key, "rotate", r#"{"rotation": "cut_over"}"#).expect(200)),
            Self::Disable => drop(gateway.change(key, "disable", "").expect(200)),
        }
    }
}

/// Changes a key on one node while all are asked with it. Returns for each node how long after the change was
/// acknowledged the last request began that was still allowed.
fn measure(nodes: &[Gateway], acting: usize, change: Change, key: &Key) -> Vec<Duration> {
    let acknowledged = Mutex::new(None);
    let (is_over, warm) = (AtomicBool::new(false), AtomicU64::new(0));
    let last: Vec<Mutex<Option<Instant>>> = nodes.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for (node, last) in nodes.iter().zip(&last) {
            scope.spawn(|| {
                let (client, mut count) = (client(), 0);
                while !is_over.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    match ask(&client, node, &key.token) {
                        200 => *last.lock().unwrap() = Some(began),
                        status => assert_eq!(status, 401),
                    }
                    count += 1;
                    if count == 20 {
                        warm.fetch_add(1, Ordering::SeqCst);
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let start = Instant::now();
        while warm.load(Ordering::SeqCst) < NODES as u64 && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(1));
        }
        change.by(&nodes[acting], key);
        *acknowledged.lock().unwrap() = Some(Instant::now());
        thread::sleep(LEASE + Duration::from_millis(300));
        is_over.store(true, Ordering::SeqCst);
    });
    let acknowledged = acknowledged.lock().unwrap().unwrap();
    last.iter().map(|last| last.lock().unwrap().unwrap().saturating_duration_since(acknowledged)).collect()
}

fn show(what: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |percent: usize| samples[(samples.len() - 1) * percent / 100];
    println!("{what:<28} {:>9.1?} {:>9.1?} {:>9.1?}", at(50), at(99), at(100));
}

#[test]
fn no_node_answers_with_what_was_before_after_the_lease() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = postgres() else { return };
    let first = start(&database);
    let admin = first.admin.clone();
    let mut nodes = [first, start(&database), start(&database)];
    // Whichever started first made the key of the administrator, which is good on all.
    nodes.iter_mut().for_each(|node| node.admin.clone_from(&admin));
    let nodes = &nodes[..];
    let others: Vec<Key> =
        (0..20).map(|number| nodes[0].make(&format!("load-{number}"), "WORKSPACE_INVOKE", json!({}))).collect();

    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for node in nodes {
            scope.spawn(|| {
                let client = client();
                for key in others.iter().cycle() {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    assert_eq!(ask(&client, node, &key.token), 200, "a key that nobody touched");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        println!("{:<28} {:>9} {:>9} {:>9}", "still allowed after", "p50", "p99", "worst");
        for change in [Change::Revoke, Change::Rotate, Change::Disable] {
            let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
            for round in 0..rounds(2) {
                let acting = round as usize % NODES;
                let key =
                    nodes[acting].make(&format!("{change:?}-{round}").to_lowercase(), "WORKSPACE_INVOKE", json!({}));
                for (number, lag) in measure(nodes, acting, change, &key).into_iter().enumerate() {
                    if number == acting { here.push(lag) } else { elsewhere.push(lag) }
                }
            }
            assert!(here.iter().all(Duration::is_zero), "the node that changed it knows at once: {here:?}");
            assert!(elsewhere.iter().all(|lag| *lag < LEASE), "{change:?}: {elsewhere:?}");
            show(&format!("{change:?}, the node itself"), here);
            show(&format!("{change:?}, the other nodes"), elsewhere);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let rate = asked.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("meanwhile {rate:.0} requests a second with other keys, all of them allowed; lease {LEASE:?}");
}

/// A node that was away for longer than the lease asks before it answers, and so does one that was started again.
#[test]
fn a_node_that_comes_back_forgets_everything_first() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = postgres() else { return };
    let first = start(&database);
    let mut second = start(&database);
    let keys = ["away", "left"].map(|name| first.make(name, "WORKSPACE_INVOKE", json!({})));
    let ask = |node: &Gateway, key: &Key| ask(&client(), node, &key.token);
    keys.iter().for_each(|key| assert_eq!(ask(&second, key), 200));
    second.signal("STOP");
    first.revoke(&keys[0]);
    thread::sleep(LEASE);
    second.signal("CONT");
    for _ in 0..50 {
        assert_eq!(ask(&second, &keys[0]), 401, "a node that was away serves what it remembers");
    }
    assert_eq!(ask(&second, &keys[1]), 200);

    second.signal("KILL");
    second.ended();
    first.revoke(&keys[1]);
    let third = start(&database);
    assert_eq!(ask(&third, &keys[1]), 401);
}

/// A user who leaves a team, or the service, has no longer than the lease on any node, and no time on the node that did
/// it.
#[test]
fn what_a_user_is_has_the_same_bound() {
    use keygate::{Actor, Grant, Issuer, KeyManager, NewKeySpec, TeamRole, UserId, Validity};
    use keygate_sqlx::{Postgres, PostgresDirectory, PostgresStore, Settings};
    use sqlx::Executor as _;

    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = postgres() else { return };
    let (first, second) = (start(&database), start(&database));
    let runtime = running::runtime();
    let (directory, tokens) = runtime.block_on(async {
        let database = Postgres::connect(&database, Settings::new()).await.unwrap();
        let insert = "INSERT INTO gateway_users (id, name, is_administrator) VALUES ('ada', 'Ada', FALSE), ('bob', 'Bob', FALSE)";
        database.pool().execute(insert).await.unwrap();
        let directory = PostgresDirectory::open(&database).await.unwrap();
        let store = PostgresStore::open(&database).await.unwrap();
        let keys = KeyManager::new(Issuer::from_static("acme"), store).with_directory(directory.clone());
        let mut tokens = Vec::new();
        for user in ["ada", "bob"] {
            let user: UserId = user.parse().unwrap();
            directory.set_member(&user, &"core".parse().unwrap(), TeamRole::Member).await.unwrap();
            let spec = NewKeySpec::new(Grant::personal(user), "own".parse().unwrap(), Validity::NEVER_EXPIRES);
            let issued = keys.create(&Actor::system("test").unwrap(), spec).await.unwrap();
            tokens.push(issued.token.expose_secret().to_owned());
        }
        (directory, tokens)
    });
    let client = client();
    for node in [&first, &second] {
        tokens.iter().for_each(|token| assert_eq!(ask(&client, node, token), 200));
    }
    // `ada` leaves the team, without a word to any node.
    let (ada, core) = ("ada".parse().unwrap(), "core".parse().unwrap());
    runtime.block_on(directory.set_member(&ada, &core, TeamRole::Outsider)).unwrap();
    let left = Instant::now();
    let mut last = Duration::ZERO;
    while left.elapsed() < LEASE + Duration::from_millis(500) {
        let began = left.elapsed();
        if [&first, &second].iter().any(|node| ask(&client, node, &tokens[0]) == 200) {
            last = began;
        }
    }
    println!("an outsider is still a member for {last:.1?}; lease {LEASE:?}");
    assert!(last < LEASE);

    // `bob` is deprovisioned on the first node, which knows at once; the keys end there, so the other node is told.
    thread::sleep(Duration::from_millis(1500));
    let start = Instant::now();
    first.ask(&first.admin, "POST", "/v1/users/bob/deprovision", "").expect(200);
    assert_eq!(ask(&client, &first, &tokens[1]), 401);
    while ask(&client, &second, &tokens[1]) == 200 {
        assert!(start.elapsed() < LEASE);
    }
    println!("a deprovisioned user's key ended on the other node after {:.1?}", start.elapsed());
}
