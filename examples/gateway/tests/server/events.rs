//! A change and its event are one: the database has both, or neither.

use core::{num::NonZeroU16, time::Duration};
use std::{path::PathBuf, thread};

use keygate::{
    KeyId, Status,
    audit::{Event, EventKind, Principal},
    store::KeyStore,
};
use keygate_sqlx::{LogQuery, Settings, Sqlite, SqliteStore};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::Server,
    keys::{by, create},
    start,
};

/// A database that can be read when its server has ended.
pub(crate) struct Database {
    path: PathBuf,
    _directory: TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("keys.db"), _directory: directory }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let url = format!("sqlite:{}", self.path.display());
        start(&[&["--database", &url], arguments].concat())
    }

    /// Returns all events.
    pub(crate) fn events(&self) -> Vec<Event> {
        let (runtime, store) = self.open();
        let mut query = LogQuery::new();
        query.limit = NonZeroU16::MAX;
        runtime.block_on(store.events(&query)).unwrap().into_iter().map(|logged| logged.event).collect()
    }

    fn open(&self) -> (Runtime, SqliteStore) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(async {
            let database = Sqlite::open(&self.path, Settings::new()).await.unwrap();
            SqliteStore::open(&database).await.unwrap()
        });
        (runtime, store)
    }
}

fn id(key: &serde_json::Value) -> KeyId {
    key["key"]["id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn changes_are_in_the_database_with_who_made_them() {
    let database = Database::new();
    let server = database.start(&["--dev-login"]);
    let created = create(&server, "bob", "ci");
    by(&server, "bob", "DELETE", &format!("/api_keys/{}", id(&created)), "").expect(204);
    by(&server, "bob", "DELETE", &format!("/api_keys/{}", id(&created)), "").expect(204);
    server.terminate();

    let events = database.events();
    let of_key: Vec<_> = events.iter().filter(|event| event.key == Some(id(&created))).collect();
    let [made, ended] = of_key.as_slice() else { panic!("{of_key:?}") };
    assert!(matches!(&made.kind, EventKind::Created { name, .. } if name.as_str() == "ci"), "{made:?}");
    assert!(matches!(ended.kind, EventKind::Revoked { .. }), "{ended:?}");
    assert!(matches!(&made.by, Principal::User { id, .. } if id.as_str() == "bob"), "{made:?}");
    let by_system = |event: &&Event| matches!(&event.by, Principal::System { .. });
    // Twelve keys, one of which was disabled and one revoked.
    assert_eq!(events.iter().filter(by_system).count(), 14);
}

/// Clients hang up when they like.
#[test]
fn a_client_that_hangs_up_loses_no_event() {
    let database = Database::new();
    let server = database.start(&["--dev-login"]);
    let created = create(&server, "bob", "ci");
    let fields = [("x-dev-user", "bob"), ("content-type", "application/json")];
    for round in 0..60_u64 {
        let operation = if round % 2 == 0 { "disable" } else { "enable" };
        let path = format!("/api_keys/{}/{operation}", id(&created));
        let socket = server.open("POST", &path, &fields, "");
        thread::sleep(Duration::from_micros(100 * (round % 20)));
        drop(socket);
    }
    server.terminate();

    let (runtime, store) = database.open();
    let record = runtime.block_on(store.find(id(&created))).unwrap().unwrap();
    // Each event is of a change, so enabling and disabling take turns, and the last one is how it is now.
    let mut status = Status::Active;
    for event in database.events().into_iter().filter(|event| event.key == Some(id(&created))) {
        let next = match event.kind {
            EventKind::Disabled => Status::Disabled,
            EventKind::Enabled => Status::Active,
            _ => continue,
        };
        assert_ne!(next, status);
        status = next;
    }
    assert_eq!(status, record.status());
}

#[test]
fn bootstrapping_again_ends_its_own_keys_and_no_others() {
    let database = Database::new();
    let first = database.start(&["--dev-login"]);
    let old = first.bearer("full");
    first.terminate();
    let second = database.start(&["--dev-login"]);
    assert_ne!(old, second.bearer("full"));
    second.send("GET", "/teams/core/secrets", &[("authorization", &old)], "").expect(401);
    second.ask("full", "GET", "/teams/core/secrets", "").expect(200);

    // A key that a user made stays, whatever its name.
    let list = by(&second, "bob", "GET", "/teams/core/api_keys", "").expect(200).json();
    let is_full = |key: &&serde_json::Value| key["name"] == "full" && key["status"] == "active";
    let full = list["keys"].as_array().unwrap().iter().find(is_full).unwrap();
    by(&second, "bob", "DELETE", &format!("/api_keys/{}", full["id"].as_str().unwrap()), "").expect(204);
    let own = create(&second, "bob", "full");
    second.terminate();
    let url = format!("sqlite:{}", database.path.display());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keygate-gateway"))
        .args(["--listen", "127.0.0.1:0", "--bootstrap", "--database", &url])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("`full` was not made by --bootstrap"));
    let (runtime, store) = database.open();
    assert_eq!(runtime.block_on(store.find(id(&own))).unwrap().unwrap().status(), Status::Active);
}
