//! Operations from many tasks at once, and the question whether they could have happened one after the other.
//!
//! Each operation is stamped when it starts and when its answer is there. The answers are linearizable (Herlihy and Wing
//! 1990) if there is an order that heeds the stamps in which a naive sequential store gives the same responses; it is looked
//! for as Wing and Gong (1993) do, and what was tried is remembered. Shared by the tests of all stores.

use core::{
    fmt::Write as _,
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
};

use keygate::{
    Actor, Changed, Create, Gate, Grant, Issued, Issuer, KeyManagementStore, KeyRecord, Owner, PreviousSecret,
    RecordParts, Rotate, RotatedKey, Rotation, Run, SecretSlot, Status, UnixTime, Validity, authorize_operation,
    store::conformance::{Race, Task},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

const ISSUER: Issuer = Issuer::from_static("acme");
const NOW: i64 = 1000;
const ENDS: i64 = 2000;
const NAMES: [&str; 3] = ["one", "two", "three"];
const TASKS: usize = 4;
const OPERATIONS_EACH: usize = 4;

/// What may be asked in one race. Keys are numbered; 0 and 1 are stored before it starts, 2 and 3 are not.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Disable(usize),
    Enable(usize),
    EndOverlap(usize),
    Find(usize),
    Insert(usize),
    Rename(usize, usize),
    Revoke(usize, i64),
    RevokeAll(i64),
    /// By one of the changes that were prepared: 0 to 2 expect the first secret, 3 expects the one that 0 makes.
    Rotate(usize, usize),
    Touch(usize, i64),
    /// With the secret of this number: the first, or that of a change.
    Verify(usize, usize),
}

use Operation::{
    Disable, Enable, EndOverlap, Find, Insert, Rename, Revoke, RevokeAll, Rotate as Rotates, Touch, Verify,
};

type Mix = fn(&mut ChaCha20Rng) -> Operation;

/// What is raced against what.
const MIXES: [(&str, Mix); 6] = [
    ("revoke against verify", |dice| match below(dice, 5) {
        0 => Revoke(0, 1 + below(dice, 3) as i64),
        1 => Find(0),
        _ => Verify(0, 0),
    }),
    ("rotate against rotate", |dice| match below(dice, 6) {
        0..3 => Rotates(0, below(dice, 4)),
        3 => EndOverlap(0),
        4 => Find(0),
        _ => Verify(0, below(dice, 5)),
    }),
    ("create against create with one name", |dice| match below(dice, 6) {
        0..2 => Insert(2 + below(dice, 2)),
        2 => Rename(below(dice, 3), 2),
        3 => Rename(below(dice, 2), below(dice, 3)),
        4 => Revoke(below(dice, 3), 7),
        _ => Find(below(dice, 4)),
    }),
    ("touch against revoke", |dice| match below(dice, 5) {
        0 => Revoke(0, 1 + below(dice, 3) as i64),
        1..4 => Touch(0, below(dice, 4) as i64),
        _ => Find(0),
    }),
    ("enable against revoke", |dice| match below(dice, 6) {
        0 => Revoke(0, 9),
        1..3 => Disable(0),
        3 => Enable(0),
        4 => Find(0),
        _ => Verify(0, 0),
    }),
    ("everything", |dice| {
        let key = below(dice, 3);
        match below(dice, 12) {
            0 => Disable(key),
            1 => Enable(key),
            2 => EndOverlap(key),
            3 => Insert(key),
            4 => Rename(key, below(dice, 3)),
            5 => Revoke(key, 3),
            6 => RevokeAll(4),
            7 => Rotates(key, below(dice, 4)),
            8 => Touch(key, below(dice, 4) as i64),
            9 => Find(key),
            _ => Verify(key, below(dice, 5)),
        }
    }),
];

fn below(dice: &mut ChaCha20Rng, bound: usize) -> usize {
    dice.next_u32() as usize % bound
}

/// Races `rounds` times each mix on stores that `fresh` makes, and returns how many operations that were.
///
/// # Errors
///
/// A history that is not linearizable.
pub(crate) async fn check<S, F, R>(fresh: F, race: &R, rounds: u64) -> Result<usize, String>
where
    S: KeyManagementStore + Clone + 'static,
    F: AsyncFn() -> S,
    R: Race,
{
    let mut count = 0;
    for (name, mix) in MIXES {
        for round in 0..rounds {
            let mut dice = ChaCha20Rng::seed_from_u64(round);
            let (store, keys) = (fresh().await, Arc::new(Keys::new(&mut dice)));
            for key in [0, 1] {
                store.insert(keys.0[key].issued.key.clone()).await.map_err(text)?.map_err(text)?;
            }
            let events = Arc::new(Mutex::new(Vec::new()));
            let clock = Arc::new(AtomicUsize::new(0));
            let arrived = Arc::new(AtomicUsize::new(0));
            let tasks = (0..TASKS).map(|_| {
                let operations: Vec<_> = (0..OPERATIONS_EACH).map(|_| mix(&mut dice)).collect();
                let (store, keys, events) = (store.clone(), keys.clone(), events.clone());
                let (clock, arrived) = (clock.clone(), arrived.clone());
                Box::pin(async move {
                    for (step, operation) in (1..).zip(operations) {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        meet(&arrived, step * TASKS).await;
                        let start = clock.fetch_add(1, Ordering::SeqCst);
                        let answer = ask(&store, &keys, operation).await;
                        let end = clock.fetch_add(1, Ordering::SeqCst);
                        events.lock().unwrap().push(Event { operation, answer, start, end });
                    }
                }) as Task
            });
            let tasks = tasks.collect();
            race.race(tasks).await;
            let events = core::mem::take(&mut *events.lock().unwrap());
            if events.len() != TASKS * OPERATIONS_EACH {
                return Err(format!("{name}, round {round}: a task did not come to its end"));
            }
            examine(&events).map_err(|fault| format!("{name}, round {round}: {fault}"))?;
            count += events.len();
        }
    }
    Ok(count)
}

/// Waits until all tasks have come that far: operations are short, and would hardly meet otherwise. Not for ever, should
/// one of them not come.
async fn meet(arrived: &AtomicUsize, expected: usize) {
    let mut turns = 0;
    poll_fn(|context| {
        turns += 1;
        if arrived.load(Ordering::SeqCst) >= expected || turns > 1000 {
            return Poll::Ready(());
        }
        // Where there are more tasks than processors, the others come only if this one steps back.
        thread::yield_now();
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn examine(events: &[Event]) -> Result<(), String> {
    let mut told = String::new();
    for event in events {
        let _ = write!(told, "\n  {event:?}");
    }
    // Said by itself, since it is what everybody asks: no verify that starts after the revocation was acknowledged.
    for revoked in events {
        let Revoke(key, _) = revoked.operation else { continue };
        let late = |event: &&Event| revoked.answer.starts_with("done") && event.start > revoked.end;
        for event in events.iter().filter(late) {
            let is_open = match event.operation {
                Verify(of, _) if of == key => event.answer.starts_with("opens by") && !event.answer.contains("Revoked"),
                Find(of) if of == key => !event.answer.contains("Revoked"),
                _ => false,
            };
            if is_open {
                return Err(format!("{event:?} after {revoked:?}, among{told}"));
            }
        }
    }
    let mut seen = HashSet::new();
    if is_linearizable(events, 0, State::start(), &mut seen) {
        Ok(())
    } else {
        Err(format!("in no order does a sequential store answer so:{told}"))
    }
}

#[derive(Debug)]
struct Event {
    operation: Operation,
    answer: String,
    start: usize,
    end: usize,
}

/// Tries every operation that may come next: it started before any other that is left ended.
fn is_linearizable(events: &[Event], done: u64, state: State, seen: &mut HashSet<(u64, State)>) -> bool {
    let left = || events.iter().enumerate().filter(|(place, _)| done & (1 << place) == 0);
    let Some(first_end) = left().map(|(_, event)| event.end).min() else { return true };
    if !seen.insert((done, state.clone())) {
        return false;
    }
    left().filter(|(_, event)| event.start < first_end).any(|(place, event)| {
        let mut next = state.clone();
        next.apply(event.operation) == event.answer && is_linearizable(events, done | (1 << place), next, seen)
    })
}

/// A store that does one thing after the other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State([Option<Row>; 4]);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Row {
    name: usize,
    status: Membership,
    current: usize,
    previous: Option<usize>,
    last_used: Option<i64>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Membership {
    Active,
    Disabled,
    Revoked(i64),
}

impl State {
    fn start() -> Self {
        let row = |name| Row { name, status: Membership::Active, current: 0, previous: None, last_used: None };
        Self([Some(row(0)), Some(row(1)), None, None])
    }

    fn is_taken(&self, name: usize, except: usize) -> bool {
        let holds = |row: &Row| row.name == name && !matches!(row.status, Membership::Revoked(_));
        self.0.iter().enumerate().any(|(key, row)| key != except && row.as_ref().is_some_and(holds))
    }

    fn apply(&mut self, operation: Operation) -> String {
        match operation {
            Find(key) => self.0[key].as_ref().map_or("absent".into(), |row| format!("{row:?}")),
            Verify(key, secret) => match &self.0[key] {
                Some(row) if row.current == secret => format!("opens by {:?}: {:?}", SecretSlot::Current, row.status),
                Some(row) if row.previous == Some(secret) => {
                    format!("opens by {:?}: {:?}", SecretSlot::Previous, row.status)
                }
                _ => "opens nothing".into(),
            },
            Insert(key) => match &self.0[key] {
                Some(_) => "id_taken".into(),
                None if self.is_taken(first_name(key), key) => "name_taken".into(),
                None => {
                    let name = first_name(key);
                    self.0[key] =
                        Some(Row { name, status: Membership::Active, current: 0, previous: None, last_used: None });
                    "done".into()
                }
            },
            Revoke(key, at) => match &mut self.0[key] {
                None => "absent".into(),
                Some(Row { status: Membership::Revoked(first), .. }) => format!("done {first}"),
                Some(row) => {
                    row.status = Membership::Revoked(at);
                    format!("done {at}")
                }
            },
            RevokeAll(at) => {
                let mut ended = Vec::new();
                for (key, row) in self.0.iter_mut().enumerate() {
                    if let Some(row) = row.as_mut().filter(|row| !matches!(row.status, Membership::Revoked(_))) {
                        row.status = Membership::Revoked(at);
                        ended.push(key);
                    }
                }
                format!("{ended:?}")
            }
            Touch(key, at) => {
                if let Some(row) = self.0[key].as_mut().filter(|row| !matches!(row.status, Membership::Revoked(_))) {
                    row.last_used = row.last_used.max(Some(at));
                }
                "done".into()
            }
            Disable(key) | Enable(key) | EndOverlap(key) | Rename(key, _) | Rotates(key, _) => {
                self.change(key, operation).into()
            }
        }
    }

    fn change(&mut self, key: usize, operation: Operation) -> &'static str {
        let is_taken = matches!(operation, Rename(_, name) if self.is_taken(name, key));
        let Some(row) = &mut self.0[key] else { return "absent" };
        if let Membership::Revoked(_) = row.status {
            return "revoked";
        }
        match operation {
            Rename(..) if is_taken => return "name_taken",
            Rename(_, name) => row.name = name,
            Disable(_) => row.status = Membership::Disabled,
            Enable(_) if row.status != Membership::Disabled => return "not_disabled",
            Enable(_) => row.status = Membership::Active,
            EndOverlap(_) => row.previous = None,
            Rotates(..) if row.status == Membership::Disabled => return "disabled",
            Rotates(_, change) if row.current != expects(change) => return "changed",
            Rotates(_, change) => {
                row.previous = if change == 3 { None } else { Some(row.current) };
                row.current = makes(change);
            }
            _ => {}
        }
        "done"
    }
}

/// Both keys that are not stored yet have the same name.
fn first_name(key: usize) -> usize {
    key.min(2)
}

fn expects(change: usize) -> usize {
    if change == 3 { makes(0) } else { 0 }
}

fn makes(change: usize) -> usize {
    change + 1
}

/// Keys of one owner, with what can be asked of them.
struct Keys(Vec<Key>);

struct Key {
    issued: Issued,
    changes: Vec<RotatedKey>,
}

impl Keys {
    fn new(dice: &mut ChaCha20Rng) -> Self {
        Self((0..4).map(|key| Key::new(key, dice)).collect())
    }

    fn grant() -> Grant {
        Grant::Personal { user: "ada".parse().unwrap() }
    }
}

impl Key {
    fn new(key: usize, dice: &mut ChaCha20Rng) -> Self {
        let system = Actor::system("a race").unwrap();
        let permit = authorize_operation(&system, Create(Keys::grant()), None, at(NOW)).unwrap();
        let name = NAMES[first_name(key)].parse().unwrap();
        let issued = permit.issue(ISSUER, name, Validity::until(at(ENDS)), dice, at(NOW)).unwrap();
        let mut rotate = |record: KeyRecord, rotation| {
            let permit = authorize_operation(&system, Rotate(Arc::new(record)), None, at(NOW)).unwrap();
            permit.rotate(ISSUER, rotation, dice, at(NOW)).unwrap()
        };
        let first = issued.key.record().clone();
        let start = Rotation::Start { overlap: Duration::from_secs(100) };
        let mut changes: Vec<_> = (0..3).map(|_| rotate(first.clone(), start)).collect();
        let mut parts = RecordParts::from(first);
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(NOW + 100) });
        parts.current = changes[0].token.digest();
        changes.push(rotate(parts.try_into().unwrap(), Rotation::CutOver));
        Self { issued, changes }
    }

    /// The number of a secret, by its digest.
    fn number(&self, digest: keygate::SecretDigest) -> usize {
        let made = self.changes.iter().map(|change| change.token.digest());
        core::iter::once(self.issued.token.digest()).chain(made).position(|one| one == digest).unwrap()
    }

    fn token(&self, secret: usize) -> &str {
        let change = secret.checked_sub(1).map(|change| &self.changes[change].token);
        change.unwrap_or(&self.issued.token).expose_secret()
    }

    fn row(&self, record: &KeyRecord) -> Row {
        Row {
            name: NAMES.iter().position(|name| record.name().as_str() == *name).unwrap(),
            status: membership(record.status()),
            current: self.number(record.current()),
            previous: record.previous().map(|previous| self.number(previous.digest)),
            last_used: record.last_used_at().map(UnixTime::as_secs),
        }
    }
}

fn membership(status: Status) -> Membership {
    match status {
        Status::Active => Membership::Active,
        Status::Disabled => Membership::Disabled,
        Status::Revoked { at } => Membership::Revoked(at.as_secs()),
    }
}

async fn ask<S: KeyManagementStore>(store: &S, keys: &Keys, operation: Operation) -> String {
    let id = |key: usize| keys.0[key].issued.token.id();
    let answer = match operation {
        Find(key) => store.find(id(key)).await.map(|found| match found {
            None => "absent".into(),
            Some(record) => format!("{:?}", keys.0[key].row(&record)),
        }),
        Verify(key, secret) => {
            let verified = Gate::new(ISSUER).authenticate(store, keys.0[key].token(secret), at(NOW)).await;
            verified.map(|verified| match verified {
                Ok(key) => format!("opens by {:?}: {:?}", key.slot(), membership(key.status())),
                Err(_) => "opens nothing".into(),
            })
        }
        Insert(key) => store.insert(keys.0[key].issued.key.clone()).await.map(changed),
        Rename(key, name) => store.rename(id(key), NAMES[name].parse().unwrap()).await.map(changed),
        Disable(key) => store.disable(id(key)).await.map(changed),
        Enable(key) => store.enable(id(key)).await.map(changed),
        EndOverlap(key) => store.end_overlap(id(key)).await.map(changed),
        Rotates(key, change) => store.rotate(keys.0[key].changes[change].change).await.map(changed),
        Revoke(key, when) => store.revoke(id(key), at(when)).await.map(|first| match first {
            Ok(first) => format!("done {first}"),
            Err(refusal) => refusal.as_str().into(),
        }),
        RevokeAll(when) => {
            let owner: Owner = Keys::grant().owner();
            store.revoke_all(owner, at(when), Run::Real).await.map(|ids| {
                let mut ended: Vec<_> = (0..4).filter(|key| ids.contains(&id(*key))).collect();
                ended.sort_unstable();
                format!("{ended:?}")
            })
        }
        Touch(key, when) => store.touch(id(key), at(when), at(NOW)).await.map(|()| "done".into()),
    };
    answer.unwrap_or_else(|error| format!("failed: {error}"))
}

fn changed(answer: Changed) -> String {
    match answer {
        Ok(()) => "done".into(),
        Err(refusal) => refusal.as_str().into(),
    }
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn text(error: impl core::error::Error) -> String {
    error.to_string()
}
