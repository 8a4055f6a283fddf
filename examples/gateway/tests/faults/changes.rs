//! Clients that hang up and a server that is killed: a change and its event are one, and nothing acknowledged is lost.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{collections::BTreeMap, fs, path::Path, sync::Mutex, thread, time::Instant};

use keygate::{Actor, Grant, Issuer, KeyManager, NewKeySpec, TeamRole, UserId, Validity, audit::EventKind};
use keygate_sqlx::{
    LogQuery, Postgres, PostgresDirectory, PostgresStore, Settings, Sqlite, SqliteDirectory, SqliteStore,
};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::running::{Gateway, Key, Start, file, open, postgres, rounds, runtime};

/// Where a gateway keeps everything.
enum Kept<'a> {
    Folder(&'a Path),
    Postgres(&'a str),
}

impl Kept<'_> {
    fn start(&self) -> Gateway {
        let start = Start::new();
        match self {
            Self::Folder(folder) => start.folder(folder).run(),
            Self::Postgres(url) => start.arguments(&["--database", url]).run(),
        }
    }

    /// Adds users with a personal key each; the service itself makes those.
    fn add_users(&self, names: &[String]) {
        macro_rules! add {
            ($database:expr, $store:ty, $directory:ty) => {{
                let database = $database.unwrap();
                let directory = <$directory>::open(&database).await.unwrap();
                let store = <$store>::open(&database).await.unwrap();
                let keys = KeyManager::new(Issuer::from_static("acme"), store).with_directory(directory.clone());
                for name in names {
                    let insert = "INSERT INTO gateway_users (id, name, is_administrator) VALUES ($1, $1, FALSE)";
                    sqlx::query(insert).bind(name).execute(database.pool()).await.unwrap();
                    let user: UserId = name.parse().unwrap();
                    directory.set_member(&user, &"core".parse().unwrap(), TeamRole::Member).await.unwrap();
                    for key in ["one", "two"] {
                        let grant = Grant::personal(user.clone());
                        let spec = NewKeySpec::new(grant, key.parse().unwrap(), Validity::NEVER_EXPIRES);
                        let _ = keys.create(&Actor::system("test").unwrap(), spec).await.unwrap();
                    }
                }
                let _ = database.close().await;
            }};
        }
        runtime().block_on(async {
            match self {
                Self::Folder(folder) => {
                    add!(Sqlite::open(file(folder), Settings::new()).await, SqliteStore, SqliteDirectory);
                }
                Self::Postgres(url) => {
                    add!(Postgres::connect(url, Settings::new()).await, PostgresStore, PostgresDirectory);
                }
            }
        });
    }

    /// Reads the tables, and holds each key against its events.
    fn read(&self) -> Tables {
        macro_rules! read {
            ($database:expr, $store:ty) => {{
                let database = $database.unwrap();
                // Opening it again is where a file is mended after a kill.
                database.pool().execute("SELECT 1").await.unwrap();
                let rows: Vec<(String, String, String)> = sqlx::query_as("SELECT id, status, name FROM keygate_keys")
                    .fetch_all(database.pool())
                    .await
                    .unwrap();
                let number: (i64,) =
                    sqlx::query_as("SELECT number FROM keygate_revision").fetch_one(database.pool()).await.unwrap();
                let store = <$store>::open(&database).await.unwrap();
                let mut events = Vec::new();
                let mut query = LogQuery::new();
                loop {
                    let page = store.events(&query).await.unwrap();
                    let Some(last) = page.last() else { break };
                    query.after = Some(last.sequence);
                    events.extend(page);
                }
                let _ = database.close().await;
                (rows, number.0, events)
            }};
        }
        let (rows, number, events) = runtime().block_on(async {
            match self {
                Self::Folder(folder) => read!(Sqlite::open(file(folder), Settings::new()).await, SqliteStore),
                Self::Postgres(url) => read!(Postgres::connect(url, Settings::new()).await, PostgresStore),
            }
        });
        let mut tables = Tables { status: BTreeMap::new(), secrets: BTreeMap::new(), names: Vec::new() };
        // Each change has a number, which is that of its event: none is without one.
        assert_eq!(i64::try_from(events.len()).unwrap(), number);
        let mut by_events: BTreeMap<String, &str> = BTreeMap::new();
        for logged in &events {
            let id = logged.event.key.unwrap().to_string();
            let before = by_events.get(&id).copied();
            match logged.event.kind {
                EventKind::Created { .. } => assert_eq!(before, None, "{id} was made twice"),
                EventKind::Revoked { .. } => assert_eq!(before, Some("active"), "{id} ended twice"),
                _ => assert!(before.is_some(), "{id} changed before it was made"),
            }
            match logged.event.kind {
                EventKind::Created { .. } => drop(by_events.insert(id, "active")),
                EventKind::Revoked { .. } => drop(by_events.insert(id, "revoked")),
                EventKind::Rotated { .. } => *tables.secrets.entry(id).or_default() += 1,
                _ => {}
            }
        }
        for (id, status, name) in rows {
            assert_eq!(by_events.remove(&id), Some(status.as_str()), "what {id} is and what its events say");
            tables.status.insert(id, status);
            tables.names.push(name);
        }
        assert!(by_events.is_empty(), "events of keys that are not there: {by_events:?}");
        tables
    }
}

/// What is in the tables, once it was seen that keys and events agree.
struct Tables {
    status: BTreeMap<String, String>,
    /// How often each was rotated.
    secrets: BTreeMap<String, u32>,
    names: Vec<String>,
}

fn both(test: impl Fn(&Kept<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    test(&Kept::Folder(folder.path()));
    if let Some(url) = postgres() {
        test(&Kept::Postgres(&url));
    }
}

/// The request for one change, of those that mint, change and end.
fn change(number: u32, key: &Key, user: &str) -> (&'static str, String, String) {
    match number % 4 {
        0 => {
            let body = json!({ "name": format!("made-{number}"), "type": "WORKSPACE_INVOKE" });
            ("POST", "/v1/teams/core/api_keys".into(), body.to_string())
        }
        1 => ("POST", format!("/v1/api_keys/{}/rotate", key.prefix), r#"{"rotation": "cut_over"}"#.into()),
        2 => ("DELETE", format!("/v1/api_keys/{}", key.prefix), String::new()),
        _ => ("POST", format!("/v1/users/{user}/deprovision"), String::new()),
    }
}

#[test]
fn a_client_that_hangs_up_loses_no_event() {
    both(|kept| {
        let gateway = kept.start();
        let count = 20 * rounds(1);
        let users: Vec<String> = (0..count).map(|number| format!("leaver-{number}")).collect();
        kept.add_users(&users);
        let keys: Vec<Key> =
            (0..count).map(|number| gateway.make(&format!("key-{number}"), "WORKSPACE_INVOKE", json!({}))).collect();
        // Users are read every second.
        thread::sleep(Duration::from_millis(1200));
        let bearer = format!("Bearer {}", gateway.admin);
        // How long a change takes here and now: they hang up before its end, and around it.
        let start = Instant::now();
        gateway.make("timed", "WORKSPACE_INVOKE", json!({}));
        let whole = start.elapsed();
        for number in 0..4 * count {
            let at = number as usize / 4;
            let (method, path, body) = change(number, &keys[at], &users[at]);
            let socket = open(&gateway.address, method, &path, &[("authorization", &bearer)], &body).unwrap();
            thread::sleep(whole.mul_f64(f64::from(number * 7919 % 40) / 25.0));
            drop(socket);
        }
        assert_eq!(gateway.send("GET", "/healthz", &[], "").status, 200);
        let (status, _) = gateway.terminate();
        assert_eq!(status.code(), Some(0));
        let tables = kept.read();
        let ended = tables.status.values().filter(|status| *status == "revoked").count();
        let made = tables.names.iter().filter(|name| name.starts_with("made-")).count();
        println!("of {count} each: {made} made, {} rotated, {ended} ended", tables.secrets.len());
        assert!(made > 1 && !tables.secrets.is_empty() && ended > 1, "they all hung up too early");
    });
}

/// What was acknowledged before the process was killed is there afterwards, with its event; the rest is whole or not
/// there.
#[test]
fn a_killed_server_loses_no_event() {
    both(|kept| {
        let (mut admin, mut killed_in) = (String::new(), 0);
        for round in 0..rounds(3) {
            let mut gateway = kept.start();
            if round == 0 {
                admin = gateway.admin.clone();
            }
            gateway.admin.clone_from(&admin);
            let names: Vec<String> = (0..10).map(|number| format!("round-{round}-{number}")).collect();
            kept.add_users(&names);
            let keys: Vec<Key> = names.iter().map(|name| gateway.make(name, "WORKSPACE_INVOKE", json!({}))).collect();
            thread::sleep(Duration::from_millis(1100));
            let bearer = format!("Bearer {admin}");
            let (acknowledged, is_cut) = (Mutex::new(Vec::new()), AtomicBool::new(false));
            thread::scope(|scope| {
                for part in 0..4 {
                    let (gateway, bearer, acknowledged, is_cut) = (&gateway, &bearer, &acknowledged, &is_cut);
                    let (keys, names) = (&keys, &names);
                    scope.spawn(move || {
                        for (number, (key, name)) in keys.iter().zip(names).enumerate() {
                            let number = round * 1000 + u32::try_from(number).unwrap() * 4 + part;
                            let (method, path, body) = change(number, key, name);
                            let answer = gateway.try_send(method, &path, &[("authorization", bearer)], &body);
                            match answer {
                                Some(reply) if reply.status == 200 => {
                                    acknowledged.lock().unwrap().push((part, key.clone(), reply.json()));
                                }
                                // Two of them may hit one key: a revoked one is not rotated.
                                Some(reply) => assert_eq!(reply.status, 409, "{reply:?}"),
                                None => return is_cut.store(true, Ordering::SeqCst),
                            }
                        }
                    });
                }
                thread::sleep(Duration::from_millis(u64::from(5 + round * 13 % 60)));
                gateway.signal("KILL");
            });
            killed_in += u32::from(is_cut.load(Ordering::SeqCst));
            gateway.ended();
            let tables = kept.read();
            for (part, key, body) in acknowledged.into_inner().unwrap() {
                let id = key.prefix.rsplit('_').next().unwrap();
                match part {
                    0 => assert!(tables.status.contains_key(body["key"]["id"].as_str().unwrap())),
                    1 => assert!(tables.secrets.contains_key(id), "an acknowledged rotation is lost"),
                    2 => assert_eq!(tables.status[id], "revoked", "an acknowledged revocation is lost"),
                    _ => {
                        for id in body["key_ids"].as_array().unwrap().iter().map(Value::as_str) {
                            assert_eq!(tables.status[id.unwrap()], "revoked");
                        }
                    }
                }
            }
        }
        println!("killed in the middle of {killed_in} of {} rounds", rounds(3));
        assert!(killed_in > 0, "it was never killed in the middle");
        // And it starts again, for the same administrator.
        let mut gateway = kept.start();
        gateway.admin = admin;
        gateway.ask(&gateway.admin, "GET", "/v1/api_keys", "").expect(200);
    });
}

/// A disk that is full refuses changes, decides on, and needs no restart.
#[test]
fn a_full_disk_changes_nothing_and_decides_on() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new(arguments[0]).args(&arguments[1..]).output();
    let path = folder.path().to_str().unwrap().to_owned();
    let is_mounted =
        mount(&["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", &path]).is_ok_and(|output| output.status.success());
    if !is_mounted {
        println!("skipped: full disk: mounting a small one needs the rights of root");
        return;
    }
    struct Mounted(String);
    impl Drop for Mounted {
        fn drop(&mut self) {
            drop(std::process::Command::new("umount").args(["-l", &self.0]).output());
        }
    }
    let _mounted = Mounted(path);
    let data = folder.path().join("data");
    let gateway = Start::new().folder(&data).arguments(&["--cache-seconds", "0"]).run();
    let key = gateway.make("before", "WORKSPACE_INVOKE", json!({}));
    let doomed = gateway.make("doomed", "WORKSPACE_INVOKE", json!({}));
    let filler = folder.path().join("filler");
    let fill = || {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    };
    fill();
    // The log of SQLite has room left of the changes before; then nothing goes any more.
    let (mut made, mut refused) = (Vec::new(), 0);
    for number in 0..400 {
        let body = json!({ "name": format!("full-{number}"), "type": "WORKSPACE_INVOKE" }).to_string();
        let reply = gateway.ask(&gateway.admin, "POST", "/v1/teams/core/api_keys", &body);
        match reply.status {
            200 => made.push(reply.json()["key"]["id"].as_str().unwrap().to_owned()),
            503 => {
                refused += 1;
                if refused == 5 {
                    break;
                }
            }
            status => assert_eq!(status, 503, "{reply:?}"),
        }
        fill();
        assert_eq!(gateway.predict(&key.token), 200, "what is there is still read");
    }
    assert_eq!(refused, 5, "the disk never got full");
    let revoke = gateway.ask(&gateway.admin, "DELETE", &format!("/v1/api_keys/{}", doomed.prefix), "").status;
    assert_eq!((revoke, gateway.predict(&doomed.token)), (503, 200), "what is not acknowledged is not so");
    fs::remove_file(&filler).unwrap();
    let start = Instant::now();
    let after = || {
        let body = json!({ "name": "after", "type": "WORKSPACE_INVOKE" }).to_string();
        gateway.ask(&gateway.admin, "POST", "/v1/teams/core/api_keys", &body).status
    };
    while after() != 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "it does not come back: {}", gateway.log());
    }
    gateway.revoke(&doomed);
    assert_eq!(gateway.predict(&doomed.token), 401);
    assert_eq!(gateway.terminate().0.code(), Some(0));
    let tables = Kept::Folder(&data).read();
    made.iter().for_each(|id| assert!(tables.status.contains_key(id), "an acknowledged key is lost"));
}
