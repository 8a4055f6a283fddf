//! A store, a directory, a manager and a gate, by one clock that the test sets.

use std::sync::{Arc, Mutex};

use keygate::{
    Authorization, Gate, Grant, Issued, KeyManager, MemoryDirectory, MemoryStore, NewKeySpec, Request, TeamRole, Token,
    Validity, Verdict,
    audit::Event,
    sink::{AuditSink, Message},
    store::Touch,
};
use pollster::block_on;

use super::{KG, RULES, TestClock, at, call, full, request, rng, system, team, text};

/// What a sink was told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Allowed(Authorization),
    Event(Event),
    Failed(String),
    Stranger(Event),
    Touch(Touch),
}

/// A sink that keeps everything; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Told>>>);

impl Recorder {
    /// Returns what was told since the last time.
    pub(crate) fn take(&self) -> Vec<Told> {
        core::mem::take(&mut self.0.lock().unwrap())
    }

    /// Returns the events among what was told since the last time, those about strangers too.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        let events = self.take().into_iter().filter_map(|told| match told {
            Told::Event(event) | Told::Stranger(event) => Some(event),
            Told::Allowed(_) | Told::Failed(_) | Told::Touch(_) => None,
        });
        events.collect()
    }
}

impl AuditSink for Recorder {
    fn tell(&self, message: Message<'_>) {
        let told = match message {
            Message::Allowed(authorization) => Told::Allowed(authorization.clone()),
            Message::Event(event) => Told::Event(event),
            Message::Failed(error) => Told::Failed(error.to_string()),
            Message::Stranger(event) => Told::Stranger(event),
            Message::Touch(touch) => Told::Touch(touch),
            _ => return,
        };
        self.0.lock().unwrap().push(told);
    }
}

/// A whole service in memory; its clock begins at 100, and equal tests draw equal keys.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) directory: MemoryDirectory,
    pub(crate) clock: TestClock,
    pub(crate) told: Recorder,
    pub(crate) keys: KeyManager<MemoryStore, MemoryDirectory>,
    pub(crate) gate: Gate<MemoryStore, MemoryDirectory>,
}

impl World {
    pub(crate) fn new() -> Self {
        let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
        let (clock, told) = (TestClock::new(100), Recorder::default());
        let keys = KeyManager::with_parts(KG, store.clone(), clock.reader(), rng(1))
            .with_directory(directory.clone())
            .with_rules(RULES)
            .with_sink(told.clone());
        let gate = Gate::with_clock(KG, store.clone(), clock.reader())
            .with_directory(directory.clone())
            .with_sink(told.clone());
        Self { store, directory, clock, told, keys, gate }
    }

    /// Says what a user is in a team.
    pub(crate) fn set_member(&self, user: &str, team: &str, role: TeamRole) {
        self.directory.set_member(text(user), text(team), role);
    }

    /// Creates a key as the system.
    pub(crate) fn create(&self, name: &str, grant: Grant, validity: Validity) -> Issued {
        block_on(self.keys.create(&system(), NewKeySpec::new(grant, text(name), validity))).unwrap()
    }

    /// Presents a token with a request.
    pub(crate) fn check(&self, token: &Token, request: &Request) -> Verdict {
        block_on(self.gate.check(token.expose_secret(), request)).unwrap()
    }
}

#[test]
fn a_world_is_a_whole_service() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let issued = world.create("batch", team("core", full("all")), Validity::NEVER_EXPIRES);
    let verdict = world.check(&issued.token, &request("core", call("m1", None)));
    assert!(matches!(verdict, Verdict::Allowed(_)));
    match &world.told.take()[..] {
        [Told::Touch(touch), Told::Allowed(authorization)] => {
            assert_eq!((touch.id, authorization.key().id()), (issued.record.id(), issued.record.id()));
        }
        told => panic!("{told:?}"),
    }
    world.told.tell(Message::Failed(&core::fmt::Error));
    assert!(matches!(&world.told.take()[..], [Told::Failed(text)] if !text.is_empty()));

    let other_team = request("other", call("m1", None));
    assert!(matches!(world.check(&issued.token, &other_team), Verdict::Denied { .. }));
    assert_eq!(world.told.take_events().len(), 1);
    assert_eq!((world.store.events().len(), world.clock.now()), (1, at(100)));
}
