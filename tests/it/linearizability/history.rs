//! Operations from many tasks at once, and the question whether they could have happened one after the other.
//!
//! Each operation is stamped when it starts and when its answer is there. The answers are linearizable (Herlihy and
//! Wing 1990) if there is an order that heeds the stamps in which a naive sequential store gives the same responses; it
//! is looked for as Wing and Gong (1993) do, and what was tried is remembered. And the log has the event of each change
//! that was acknowledged, once, and no other. Shared by the tests of all stores.

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
    Grant, Issuer, KeyId, KeyManager, KeyRecord, Labels, ManageError, Owner, Randomness, RandomnessError,
    RevocationCause, Rotation, Status, System, SystemRandomness, UnixTime, Validity, audit,
    manage::{
        Acting, Create, Disable as DisableKey, Enable as EnableKey, EndOverlap as EndOverlapOf, MintRules, Minted,
        MintedSecret, Permit, Rename as RenameKey, Revoke as RevokeKey, Rotate, authorize_operation,
    },
    stages::AcceptedKeys,
    store::conformance::{Race, Task},
    store::{
        self, Answer, Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery, NewKey, Page,
        PreviousSecret, RecordParts, RevokeAll as Request, SecretDigest, SecretSlot, Touch as Use,
    },
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
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
    /// All keys of the owner, as a manager does: in batches, each of which is recorded as a `Batch`.
    RevokeAll(i64),
    /// Nobody asks for it: what one batch of a `RevokeAll` did.
    Batch {
        at: i64,
        ended: [bool; 4],
        has_more: bool,
    },
    /// By one of the changes that were prepared: 0 to 2 expect the first secret, 3 expects the one that 0 makes.
    Rotate(usize, usize),
    Touch(usize, i64),
    /// With the secret of this number: the first, or that of a change.
    Verify(usize, usize),
}

use Operation::{
    Batch, Disable, Enable, EndOverlap, Find, Insert, Rename, Revoke, RevokeAll, Rotate as Rotates, Touch, Verify,
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

/// Races `rounds` times each mix on stores that `fresh` makes, and returns how many operations that were. `log` reads
/// the audit log of such a store.
///
/// # Errors
///
/// A history that is not linearizable, or a log that is not its own.
pub(crate) async fn check<S, F, L, R>(fresh: F, log: L, race: &R, rounds: u64) -> Result<usize, String>
where
    S: KeyManagementStore + Clone + 'static,
    F: AsyncFn() -> S,
    L: AsyncFn(&S) -> Vec<audit::Event>,
    R: Race,
{
    let mut count = 0;
    for (name, mix) in MIXES {
        for round in 0..rounds {
            let mut dice = ChaCha20Rng::seed_from_u64(round);
            let (store, keys) = (fresh().await, Arc::new(Keys::new(&mut dice)));
            for key in [0, 1] {
                store.insert(keys.keys[key].minted.key.clone()).await.map_err(text)?.map_err(text)?;
            }
            let history = Arc::new(History::default());
            let arrived = Arc::new(AtomicUsize::new(0));
            let ended = Arc::new(AtomicUsize::new(0));
            let tasks = (0..TASKS).map(|_| {
                let operations: Vec<_> = (0..OPERATIONS_EACH).map(|_| mix(&mut dice)).collect();
                let (store, keys, history) = (store.clone(), keys.clone(), history.clone());
                let (arrived, ended) = (arrived.clone(), ended.clone());
                Box::pin(async move {
                    for (step, operation) in (1..).zip(operations) {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        meet(&arrived, step * TASKS).await;
                        if let RevokeAll(at) = operation {
                            sweep(&store, &keys, &history, at).await;
                        } else {
                            let start = history.tick();
                            let (answer, drafts) = ask(&store, &keys, operation).await;
                            history.record(operation, answer, drafts, start);
                        }
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                }) as Task
            });
            let tasks = tasks.collect();
            race.race(tasks).await;
            let log = log(&store).await;
            let events = core::mem::take(&mut *history.events.lock().unwrap());
            if ended.load(Ordering::SeqCst) != TASKS {
                return Err(format!("{name}, round {round}: a task did not come to its end"));
            }
            let examined = examine(&events).and_then(|()| {
                let inserted = [0, 1].map(|key| keys.keys[key].minted.key.event().id);
                examine_log(&log, inserted, &events)
            });
            examined.map_err(|fault| format!("{name}, round {round}: {fault}"))?;
            count += events.len();
        }
    }
    Ok(count)
}

/// Waits until all tasks have come that far: operations are short, and would hardly meet otherwise. Not for ever,
/// should one of them not come.
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

/// The ids of the log are those of the changes that were acknowledged, each once.
fn examine_log(log: &[audit::Event], inserted: [Option<audit::EventId>; 2], events: &[Event]) -> Result<(), String> {
    let ids = |ids: &mut dyn Iterator<Item = Option<audit::EventId>>| {
        let mut ids: Vec<_> = ids.map(|id| id.map_or("none".into(), |id| id.to_string())).collect();
        ids.sort_unstable();
        ids
    };
    let of_changes = events.iter().flat_map(|event| event.drafts.iter().copied().map(Some));
    let (expected, found) =
        (ids(&mut inserted.into_iter().chain(of_changes)), ids(&mut log.iter().map(|event| event.id)));
    if expected == found {
        return Ok(());
    }
    Err(format!("the log has {found:?} and not {expected:?}, of {log:?} and {events:?}"))
}

#[derive(Default)]
struct History {
    events: Mutex<Vec<Event>>,
    clock: AtomicUsize,
}

impl History {
    fn tick(&self) -> usize {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Keeps an operation that has its answer now.
    fn record(&self, operation: Operation, answer: String, drafts: Vec<audit::EventId>, start: usize) {
        let end = self.tick();
        self.events.lock().unwrap().push(Event { operation, answer, drafts, start, end });
    }
}

#[derive(Debug)]
struct Event {
    operation: Operation,
    answer: String,
    /// The ids that the events of this change have in the log.
    drafts: Vec<audit::EventId>,
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
    status: Stage,
    current: usize,
    previous: Option<usize>,
    last_used: Option<i64>,
}

impl Row {
    const fn is_revoked(&self) -> bool {
        matches!(self.status, Stage::Revoked(_))
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Stage {
    Active,
    Disabled,
    Revoked(i64),
}

impl State {
    fn start() -> Self {
        let row = |name| Row { name, status: Stage::Active, current: 0, previous: None, last_used: None };
        Self([Some(row(0)), Some(row(1)), None, None])
    }

    fn is_taken(&self, name: usize, except: usize) -> bool {
        let holds = |row: &Row| row.name == name && !row.is_revoked();
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
                        Some(Row { name, status: Stage::Active, current: 0, previous: None, last_used: None });
                    "done".into()
                }
            },
            Revoke(key, at) => match &mut self.0[key] {
                None => "absent".into(),
                Some(Row { status: Stage::Revoked(first), .. }) => format!("unchanged, of {first}"),
                Some(row) => {
                    row.status = Stage::Revoked(at);
                    "done".into()
                }
            },
            Batch { at, ended, has_more } => {
                let is_due = self.0.each_ref().map(|row| row.as_ref().is_some_and(|row| !row.is_revoked()));
                if has_more && ended == [false; 4] {
                    return "has more, and ends none".into();
                }
                if ended != is_due && !(has_more && (0..4).all(|key| is_due[key] || !ended[key])) {
                    return format!("{is_due:?} are due");
                }
                for row in
                    self.0.iter_mut().zip(ended).filter(|(_, is_ended)| *is_ended).filter_map(|(row, _)| row.as_mut())
                {
                    row.status = Stage::Revoked(at);
                }
                "done".into()
            }
            RevokeAll(_) => panic!("its batches are recorded, and not itself"),
            Touch(key, at) => {
                if let Some(row) = self.0[key].as_mut().filter(|row| !row.is_revoked()) {
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
        if row.is_revoked() {
            return "revoked";
        }
        match operation {
            Rename(..) if is_taken => return "name_taken",
            Rename(_, name) if row.name == name => return "unchanged",
            Rename(_, name) => row.name = name,
            Disable(_) if row.status == Stage::Disabled => return "unchanged",
            Disable(_) => row.status = Stage::Disabled,
            Enable(_) if row.status != Stage::Disabled => return "not_disabled",
            Enable(_) => row.status = Stage::Active,
            // Of the first secret, and no other.
            EndOverlap(_) if row.previous.is_none() => return "unchanged",
            EndOverlap(_) if row.previous != Some(0) => return "changed",
            EndOverlap(_) => row.previous = None,
            Rotates(..) if row.status == Stage::Disabled => return "disabled",
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
struct Keys {
    keys: Vec<Key>,
    dice: Dice,
}

struct Key {
    minted: Minted,
    changes: Vec<MintedSecret>,
}

/// A generator that repeats itself.
struct Dice(Mutex<ChaCha20Rng>);

impl Randomness for Dice {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        self.0.lock().unwrap().fill_bytes(bytes);
        Ok(())
    }
}

impl Keys {
    fn new(dice: &mut ChaCha20Rng) -> Self {
        let mut seed = [0; 32];
        dice.fill_bytes(&mut seed);
        let dice = Dice(Mutex::new(ChaCha20Rng::from_seed(seed)));
        Self { keys: (0..4).map(|key| Key::new(key, &dice)).collect(), dice }
    }

    fn owner() -> Owner {
        Grant::personal("ada".parse().unwrap()).owner()
    }

    fn id(&self, key: usize) -> KeyId {
        self.keys[key].minted.token.id()
    }

    /// Makes one of the changes that need no plan.
    fn change(&self, key: usize, operation: Operation) -> KeyChange {
        let (target, now) = (Arc::new(self.keys[key].minted.key.record().clone()), at(NOW));
        match operation {
            Rename(_, name) => permit(RenameKey(target)).rename(ISSUER, NAMES[name].parse().unwrap(), &self.dice, now),
            Disable(_) => permit(DisableKey(target)).disable(ISSUER, &self.dice, now),
            Enable(_) => permit(EnableKey(target)).enable(ISSUER, &self.dice, now),
            EndOverlap(_) => {
                permit(EndOverlapOf(Arc::new(rotated(&target, target.current())))).end_overlap(ISSUER, &self.dice, now)
            }
            Revoke(_, when) => {
                // Given and used at its own time, which is the one that is stored.
                let acting = System::new("a race").unwrap();
                let acting = Acting::System(&acting);
                let permit = authorize_operation(ISSUER, acting, RevokeKey(target), None, at(when)).unwrap();
                permit.revoke(ISSUER, RevocationCause::Unused, &self.dice, at(when))
            }
            other => panic!("{other:?} is no such change"),
        }
        .unwrap()
    }
}

fn permit<O: keygate::manage::Operation>(operation: O) -> Permit<O> {
    authorize_operation(ISSUER, Acting::System(&System::new("a race").unwrap()), operation, None, at(NOW)).unwrap()
}

/// The record of a key whose first secret is the previous one.
fn rotated(first: &KeyRecord, current: SecretDigest) -> KeyRecord {
    let mut parts = RecordParts::from(first.clone());
    parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(NOW + 100), last_used_at: None });
    parts.current = current;
    parts.try_into().unwrap()
}

impl Key {
    fn new(key: usize, dice: &Dice) -> Self {
        let grant = Grant::personal("ada".parse().unwrap());
        let (validity, name) = (Validity::until(at(ENDS)), NAMES[first_name(key)].parse().unwrap());
        let permitted = permit(Create { grant, validity });
        let minted = permitted.issue(ISSUER, (name, Labels::NONE), &MintRules::new(), dice, at(NOW)).unwrap();
        let rotate = |record: KeyRecord, rotation| {
            permit(Rotate(Arc::new(record))).rotate(ISSUER, rotation, &MintRules::new(), dice, at(NOW)).unwrap()
        };
        let first = minted.key.record().clone();
        let start = Rotation::Start { overlap: Duration::from_secs(100) };
        let mut changes: Vec<_> = (0..3).map(|_| rotate(first.clone(), start)).collect();
        changes.push(rotate(rotated(&first, changes[0].token.digest()), Rotation::CutOver));
        Self { minted, changes }
    }

    /// The number of a secret, by its digest.
    fn number(&self, digest: SecretDigest) -> usize {
        let made = self.changes.iter().map(|change| change.token.digest());
        core::iter::once(self.minted.token.digest()).chain(made).position(|one| one == digest).unwrap()
    }

    fn token(&self, secret: usize) -> &str {
        let change = secret.checked_sub(1).map(|change| &self.changes[change].token);
        change.unwrap_or(&self.minted.token).expose_secret()
    }

    fn row(&self, record: &KeyRecord) -> Row {
        Row {
            name: NAMES.iter().position(|name| record.name().as_str() == *name).unwrap(),
            status: status(record.status()),
            current: self.number(record.current()),
            previous: record.previous().map(|previous| self.number(previous.digest)),
            last_used: record.last_used_at().map(UnixTime::as_secs),
        }
    }
}

fn status(status: Status) -> Stage {
    match status {
        Status::Active => Stage::Active,
        Status::Disabled => Stage::Disabled,
        Status::Revoked { at, .. } => Stage::Revoked(at.as_secs()),
    }
}

/// Asks for an operation, and returns what was answered, and the ids of the events that the log must have of it.
async fn ask<S: KeyManagementStore>(store: &S, keys: &Keys, operation: Operation) -> (String, Vec<audit::EventId>) {
    match try_ask(store, keys, operation).await {
        Ok(told) => told,
        Err(error) => (format!("failed: {error}"), Vec::new()),
    }
}

async fn try_ask<S: KeyManagementStore>(
    store: &S,
    keys: &Keys,
    operation: Operation,
) -> Result<(String, Vec<audit::EventId>), S::Error> {
    let said = |answer: String| Ok((answer, Vec::new()));
    match operation {
        Find(key) => said(match store.find(keys.id(key)).await? {
            None => "absent".into(),
            Some(record) => format!("{:?}", keys.keys[key].row(&record)),
        }),
        Verify(key, secret) => {
            let presented = AcceptedKeys::new(ISSUER).parse(keys.keys[key].token(secret)).unwrap();
            let verified = presented.verify(store.find(presented.id()).await?, at(NOW));
            said(match verified {
                Ok(key) => format!("opens by {:?}: {:?}", key.slot(), status(key.status())),
                Err(_) => "opens nothing".into(),
            })
        }
        Insert(key) => {
            let new = keys.keys[key].minted.key.clone();
            let id = new.event().id;
            Ok(match store.insert(new).await? {
                Ok(_) => ("done".into(), id.into_iter().collect()),
                Err(conflict) => (conflict.as_str().into(), Vec::new()),
            })
        }
        Rename(key, _) | Disable(key) | Enable(key) | EndOverlap(key) | Revoke(key, _) => {
            changed(store, keys.change(key, operation), matches!(operation, Revoke(..))).await
        }
        Rotates(key, change) => changed(store, keys.keys[key].changes[change].change.clone(), false).await,
        RevokeAll(_) | Batch { .. } => panic!("{operation:?} is not asked for like this"),
        Touch(key, when) => {
            store.touch(vec![Use::new(keys.id(key), SecretSlot::Current, at(when))], at(NOW)).await?;
            said("done".into())
        }
    }
}

/// Has a manager revoke all keys of the owner.
async fn sweep<S: KeyManagementStore>(store: &S, keys: &Keys, history: &History, when: i64) {
    let store = Recorded { store, keys, history };
    let manager = KeyManager::with_parts(ISSUER, store, move || at(when), SystemRandomness);
    let swept = manager.revoke_all(&System::new("a race").unwrap(), Keys::owner(), RevocationCause::Unused).await;
    // What the store answered is in the history.
    if let Err(error) = swept {
        assert!(matches!(error, ManageError::Store(_) | ManageError::Conflict(Conflict::Changed)), "{error}");
    }
}

/// A store that keeps each batch of a sweep as an operation: others may come between.
struct Recorded<'a, S> {
    store: &'a S,
    keys: &'a Keys,
    history: &'a History,
}

impl<S: KeyStore> KeyStore for Recorded<'_, S> {
    type Error = S::Error;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        self.store.find(id).await
    }
}

impl<S: KeyManagementStore> KeyManagementStore for Recorded<'_, S> {
    type Receipt = S::Receipt;

    async fn insert(&self, new: NewKey) -> Result<Result<S::Receipt, Conflict>, S::Error> {
        self.store.insert(new).await
    }

    async fn change(&self, change: KeyChange) -> Result<Answer<S::Receipt>, S::Error> {
        self.store.change(change).await
    }

    async fn touch(&self, touches: Vec<Use>, now: UnixTime) -> Result<(), S::Error> {
        self.store.touch(touches, now).await
    }

    async fn list(&self, keys_of: KeysOf, query: ListQuery) -> Result<Page, S::Error> {
        self.store.list(keys_of, query).await
    }

    async fn revoke_all(&self, revoke: Request) -> Result<store::Batch<S::Receipt>, S::Error> {
        let (at, record) = (revoke.status(), self.keys.keys[0].minted.key.record());
        let Stage::Revoked(at) = status(at) else { panic!("{at:?}") };
        let ids: Vec<_> = (0..4).map(|part| revoke.event(part, record).id).collect();
        let start = self.history.tick();
        // Of few keys, so that there are several.
        let answer = self.store.revoke_all(revoke.with_limit(2)).await;
        let (answered, ids_ended, has_more) = match &answer {
            Ok(batch) => ("done".into(), batch.ids.as_slice(), batch.has_more),
            Err(error) => (format!("failed: {error}"), [].as_slice(), false),
        };
        let ended = [0, 1, 2, 3].map(|key| ids_ended.contains(&self.keys.id(key)));
        let drafts = ids.into_iter().flatten().take(ids_ended.len()).collect();
        self.history.record(Batch { at, ended, has_more }, answered, drafts, start);
        answer
    }
}

async fn changed<S: KeyManagementStore>(
    store: &S,
    change: KeyChange,
    is_revocation: bool,
) -> Result<(String, Vec<audit::EventId>), S::Error> {
    let id = change.draft().id();
    Ok(match store.change(change).await? {
        Answer::Changed(_) => ("done".into(), vec![id]),
        Answer::Refused(conflict) => (conflict.as_str().into(), Vec::new()),
        Answer::Unchanged(record) => match record.status() {
            Status::Revoked { at, .. } if is_revocation => (format!("unchanged, of {at}"), Vec::new()),
            _ => ("unchanged".into(), Vec::new()),
        },
    })
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn text(error: impl core::error::Error) -> String {
    error.to_string()
}
