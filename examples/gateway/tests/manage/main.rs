//! Managing keys over HTTP: what each endpoint lets through, and what it stops. On SQLite, and on PostgreSQL where
//! there is one.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "these are tests")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod common;

mod bodies;
mod hidden;
mod idempotency;
mod keys;
mod log;
mod tokens;

use common::{Place, Reply, Server};
use keygate::TeamRole::{Admin, Member};
use serde_json::{Value, json};

/// A server with an administrator, who is an admin of both teams, and others.
struct World {
    place: Place,
    server: Server,
    administrator: String,
    /// An admin of `core`.
    alice: String,
    /// A member of `core`.
    bob: String,
    /// An admin of `labs`.
    carol: String,
}

impl World {
    fn start(place: Place) -> Self {
        let first = Server::start(&place);
        let administrator = first.key().to_owned();
        first.terminate();
        let alice = place.add_user("alice", &[("core", Admin)]);
        let bob = place.add_user("bob", &[("core", Member)]);
        let carol = place.add_user("carol", &[("labs", Admin)]);
        let server = Server::start(&place);
        Self { place, server, administrator, alice, bob, carol }
    }

    /// One on a file, and one on PostgreSQL where there is one.
    fn each() -> impl Iterator<Item = Self> {
        Place::each().into_iter().map(Self::start)
    }

    fn on_file() -> Self {
        Self::start(Place::folder())
    }

    /// Alice creates a key of her team.
    #[track_caller]
    fn create(&self, new: Value) -> Made {
        Made::of(&self.server.post(&self.alice, "/v1/teams/core/api_keys", new).expect(200))
    }

    /// Alice asks for a key of her team that she is not given.
    #[track_caller]
    fn refuse(&self, new: Value, status: u16, reason: &'static str) -> Reply {
        self.server.post(&self.alice, "/v1/teams/core/api_keys", new).expect_problem(status, reason)
    }

    fn status(&self, token: &str) -> u16 {
        self.server.get(token, "/v1/whoami").status
    }
}

/// A key that was made.
struct Made {
    token: String,
    prefix: String,
    id: String,
}

impl Made {
    fn of(reply: &Reply) -> Self {
        assert_eq!(reply.field("cache-control"), Some("no-store"));
        let body = reply.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { token: text(&body["api_key"]), prefix: text(&body["key"]["prefix"]), id: text(&body["key"]["id"]) }
    }

    fn path(&self) -> String {
        format!("/v1/api_keys/{}", self.prefix)
    }

    fn below(&self, what: &str) -> String {
        format!("/v1/api_keys/{}/{what}", self.prefix)
    }
}

fn invoke(name: &str) -> Value {
    json!({"type": "WORKSPACE_INVOKE", "name": name})
}
