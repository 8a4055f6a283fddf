//! Random sequences of everything that happens to keys, on any store, beside a naive model that is asked the same.
//!
//! Shared by the tests of all stores, those of the examples among them, so it uses the public API and nothing else.

use core::{
    convert::Infallible,
    iter::Peekable,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use std::sync::{Arc, Mutex};

use keygate::{
    Action, Actor, Done, EnvironmentScope, Gate, Grant, Issuer, KeyId, KeyManager, KeyName, KeyRecord, Labels,
    ManageError, MemoryDirectory, ModelScope, NewKeySpec, Owner, Permission, Randomness, RandomnessError, Request,
    RevocationCause, Rotation, Status, System, TeamRole, Token, Unauthenticated, UnixTime, Validity, Verdict,
    audit::Event,
    manage::{Acting, MintRules, Rotate, authorize_operation},
    store::{Answer, KeyManagementStore, KeysOf, ListQuery, SecretDigest, SecretSlot, StatusFilter, Touch},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use super::model::{Key, Model, Secret};

const ISSUER: Issuer = Issuer::from_static("acme");
pub(crate) const USERS: [&str; 2] = ["ada", "bob"];
const TEAMS: [&str; 2] = ["core", "labs"];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Runs one sequence, until its choices or its steps end, and returns how many operations were refused in it, which
/// should be neither none nor all. `log` reads the audit log of the store, oldest event first.
///
/// # Errors
///
/// The operations up to the one that store and model answer differently.
pub(crate) async fn run<S: KeyManagementStore>(
    store: &S,
    log: impl AsyncFn(&S) -> Vec<Event>,
    choices: impl Iterator<Item = u8>,
    steps: usize,
) -> Result<usize, String> {
    let mut sequence = Sequence::new(store, choices);
    for _ in 0..steps {
        if sequence.choices.peek().is_none() {
            break;
        }
        let step = match sequence.step().await {
            Ok(()) => sequence.compare().await,
            wrong => wrong,
        };
        let step = match step {
            Ok(()) => sequence.compare_log(&log(store).await),
            wrong => wrong,
        };
        if let Err(difference) = step {
            let trace = sequence.trace.join("\n  ");
            return Err(format!("{difference}, after\n  {trace}"));
        }
    }
    Ok(sequence.refused)
}

struct Sequence<'a, S, C: Iterator<Item = u8>> {
    store: &'a S,
    manager: KeyManager<&'a S, MemoryDirectory>,
    gate: Gate<&'a S, MemoryDirectory>,
    directory: MemoryDirectory,
    system: System,
    /// The time of the model, for manager and gate.
    clock: Arc<AtomicI64>,
    model: Model,
    choices: Peekable<C>,
    /// Of the keys: it chooses nothing.
    dice: Arc<Dice>,
    /// Every token that was ever shown: the key's place and the number of its secret are those of the model.
    secrets: Vec<(usize, Secret, Token)>,
    /// Records as they once were: someone looked and did not act yet.
    snapshots: Vec<(usize, Key, Arc<KeyRecord>)>,
    trace: Vec<String>,
    refused: usize,
}

/// A generator that repeats itself.
struct Dice(Mutex<ChaCha20Rng>);

impl Randomness for Dice {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        self.0.lock().unwrap().fill_bytes(bytes);
        Ok(())
    }
}

impl<'a, S: KeyManagementStore, C: Iterator<Item = u8>> Sequence<'a, S, C> {
    fn new(store: &'a S, choices: C) -> Self {
        let (directory, clock) = (MemoryDirectory::new(), Arc::new(AtomicI64::new(0)));
        let dice = Arc::new(Dice(Mutex::new(ChaCha20Rng::from_seed([1; 32]))));
        let reader = || {
            let clock = Arc::clone(&clock);
            move || at(clock.load(Ordering::SeqCst))
        };
        let sequence = Self {
            store,
            manager: KeyManager::with_parts(ISSUER, store, reader(), Arc::clone(&dice))
                .with_directory(directory.clone()),
            gate: Gate::with_clock(ISSUER, store, reader()).with_directory(directory.clone()),
            directory,
            system: System::new("a test").unwrap(),
            clock,
            model: Model::default(),
            choices: choices.peekable(),
            dice,
            secrets: Vec::new(),
            snapshots: Vec::new(),
            trace: Vec::new(),
            refused: 0,
        };
        (0..USERS.len()).for_each(|user| sequence.provision(user));
        sequence
    }

    /// Makes a user a member of both teams.
    fn provision(&self, user: usize) {
        for team in TEAMS {
            self.directory.set_member(USERS[user].parse().unwrap(), team.parse().unwrap(), TeamRole::Member);
        }
    }

    fn actor(&self) -> Actor {
        Actor::System(self.system.clone())
    }

    async fn step(&mut self) -> Result<(), String> {
        let choice = self.below(30);
        if self.model.keys.is_empty() || choice < 3 {
            return self.create().await;
        }
        match choice {
            3..5 => self.rename().await,
            5..9 => self.rotate().await,
            9 => self.end_overlap().await,
            10..12 => self.disable().await,
            12..14 => self.enable().await,
            14 => self.revoke().await,
            15 => self.revoke_all().await,
            16..18 => self.touch().await,
            18 => self.look(),
            19 => self.come_or_go(),
            20..22 => {
                self.model.now += [1, 1, 2, 30, -1, 1000][self.below(6)];
                self.clock.store(self.model.now, Ordering::SeqCst);
                self.note(format!("it is {}", self.model.now));
                Ok(())
            }
            22 => self.set_labels().await,
            23 => self.deprovision().await,
            _ => self.check().await,
        }
    }

    async fn create(&mut self) -> Result<(), String> {
        let (owner, name, now) = (self.below(4), self.below(NAMES.len()), self.model.now);
        let (start, end) = [(None, None), (Some(1), None), (None, Some(40)), (Some(-1), Some(3))][self.below(4)];
        let bounds = (start.map(|span: i64| now + span), end.map(|span: i64| now + span));
        let validity = Validity::new(bounds.0.map(at), bounds.1.map(at)).unwrap();
        let answer = self.manager.create(&self.actor(), NewKeySpec::new(grant(owner), named(name), validity)).await;
        let expected = self.model.create(owner, name, bounds);
        self.agree(format!("create {owner} {name} {bounds:?}"), &expected, &said(answer.as_ref().map(|_| true)))?;
        if let Ok(issued) = answer {
            let place = self.model.keys.len() - 1;
            self.secrets.push((place, 0, issued.token));
        }
        Ok(())
    }

    async fn rename(&mut self) -> Result<(), String> {
        let (place, name) = (self.place(), self.below(NAMES.len()));
        let answer = self.manager.rename(&self.actor(), self.id(place), named(name)).await;
        let expected = self.model.rename(place, name);
        self.agree(format!("rename {place} {name}"), &expected, &done(&answer))
    }

    async fn set_labels(&mut self) -> Result<(), String> {
        let (place, labels) = (self.place(), self.below(3));
        let answer = self.manager.set_labels(&self.actor(), self.id(place), labelled(labels)).await;
        let expected = self.model.set_labels(place, labels);
        self.agree(format!("set labels {place} {labels}"), &expected, &done(&answer))
    }

    /// Rotates what is there, or what somebody saw some time ago.
    async fn rotate(&mut self) -> Result<(), String> {
        let overlap = [0, 1, 5, 100][self.below(4)];
        let wanted =
            [Rotation::CutOver, Rotation::Start { overlap: span(overlap) }, Rotation::Retry { overlap: span(overlap) }];
        let rotation = wanted[self.below(3)];
        let (place, seen, answer) = if self.snapshots.is_empty() || self.below(3) > 0 {
            let place = self.place();
            let answer = self.manager.rotate(&self.actor(), self.id(place), rotation).await;
            let answer = answer.map(|rotated| rotated.token);
            let told = said(answer.as_ref().map(|_| true));
            (place, self.model.keys[place].clone(), (told, answer.ok()))
        } else {
            let snapshot = self.below(self.snapshots.len());
            let (place, seen, record) = self.snapshots.swap_remove(snapshot);
            (place, seen, self.rotate_late(record, rotation).await?)
        };
        let (told, token) = answer;
        let expected = self.model.rotate(place, &seen, rotation, overlap);
        self.agree(format!("rotate {place} {rotation:?} as of {:?}", seen.current), &expected, &told)?;
        if let Some(token) = token {
            self.secrets.push((place, self.model.keys[place].current, token));
        }
        Ok(())
    }

    /// Plans a rotation by an old record, and asks the store for it.
    async fn rotate_late(
        &self,
        record: Arc<KeyRecord>,
        rotation: Rotation,
    ) -> Result<(Result<bool, String>, Option<Token>), String> {
        let (acting, now) = (Acting::System(&self.system), at(self.model.now));
        let permit = authorize_operation(ISSUER, acting, Rotate(record), None, now).unwrap();
        let minted = match permit.rotate(ISSUER, rotation, &MintRules::new(), &*self.dice, now) {
            Ok(minted) => minted,
            Err(error) => return Ok((Err(error.as_str().unwrap().to_owned()), None)),
        };
        let answer = self.store.change(minted.change).await.map_err(|error| error.to_string())?;
        Ok(match answer {
            Answer::Changed(_) => (Ok(true), Some(minted.token)),
            Answer::Refused(conflict) => (Err(conflict.as_str().to_owned()), None),
            Answer::Unchanged(_) => (Ok(false), None),
        })
    }

    async fn end_overlap(&mut self) -> Result<(), String> {
        let place = self.place();
        let answer = self.manager.end_overlap(&self.actor(), self.id(place)).await;
        let expected = self.model.end_overlap(place);
        self.agree(format!("end overlap {place}"), &expected, &done(&answer))
    }

    async fn disable(&mut self) -> Result<(), String> {
        let place = self.place();
        let answer = self.manager.disable(&self.actor(), self.id(place)).await;
        let expected = self.model.disable(place);
        self.agree(format!("disable {place}"), &expected, &done(&answer))
    }

    async fn enable(&mut self) -> Result<(), String> {
        let place = self.place();
        let answer = self.manager.enable(&self.actor(), self.id(place)).await;
        let expected = self.model.enable(place);
        self.agree(format!("enable {place}"), &expected, &done(&answer))
    }

    async fn revoke(&mut self) -> Result<(), String> {
        let (place, cause) = (self.place(), self.below(RevocationCause::ALL.len()));
        let answer = self.manager.revoke(&self.actor(), self.id(place), RevocationCause::ALL[cause]).await;
        let expected = self.model.revoke(place, cause);
        self.agree(format!("revoke {place} for {cause}"), &expected, &done(&answer))?;
        // Of one that is revoked, the answer has the first time and cause.
        match (answer, self.model.keys[place].revoked) {
            (Ok(Done::Unchanged(record)), Some(first)) if record.status() != revoked(first) => {
                Err(format!("answers {} and not {first:?}", record.status()))
            }
            _ => Ok(()),
        }
    }

    async fn revoke_all(&mut self) -> Result<(), String> {
        let (owner, cause) = (self.below(4), self.below(RevocationCause::ALL.len()));
        let due = self.live_by_id(owner);
        let ended = self.manager.revoke_all(&self.system, grant(owner).owner(), RevocationCause::ALL[cause]).await;
        self.model.revoke_all(&due, cause);
        self.note(format!("revoke all of {owner}"));
        self.agree_on_ended(ended, &due)
    }

    /// Ends the keys of a user, who has to be gone.
    async fn deprovision(&mut self) -> Result<(), String> {
        let user = self.below(USERS.len());
        let due = self.live_by_id(user);
        let ended = self.manager.deprovision(&self.system, &USERS[user].parse().unwrap()).await;
        if !self.model.users[user].is_gone {
            let answer = said(ended.as_ref().map(|_| true));
            return self.agree(
                format!("deprovision {}", USERS[user]),
                &Err("user_not_deprovisioned".to_owned()),
                &answer,
            );
        }
        let deprovisioned = |cause: &&RevocationCause| **cause == RevocationCause::OwnerDeprovisioned;
        let cause = RevocationCause::ALL.iter().take_while(|cause| !deprovisioned(cause)).count();
        self.model.revoke_all(&due, cause);
        self.note(format!("deprovision {}", USERS[user]));
        self.agree_on_ended(ended, &due)
    }

    fn live_by_id(&self, owner: usize) -> Vec<usize> {
        let mut places: Vec<_> = self.model.live_of(owner).collect();
        places.sort_by_key(|place| self.id(*place));
        places
    }

    fn agree_on_ended<E: core::error::Error>(
        &self,
        ended: Result<Vec<KeyId>, ManageError<E, Infallible>>,
        due: &[usize],
    ) -> Result<(), String> {
        let ended = ended.map_err(|error| error.to_string())?;
        let expected: Vec<_> = due.iter().map(|place| self.id(*place)).collect();
        if ended == expected { Ok(()) } else { Err(format!("ends {ended:?} and not {expected:?}")) }
    }

    fn come_or_go(&mut self) -> Result<(), String> {
        let user = self.below(USERS.len());
        let state = &mut self.model.users[user];
        state.is_gone ^= true;
        state.incarnation += u32::from(!state.is_gone);
        let is_gone = state.is_gone;
        if is_gone {
            self.directory.deprovision(&USERS[user].parse().unwrap());
        } else {
            self.provision(user);
        }
        self.note(format!("{} {}", USERS[user], if is_gone { "goes" } else { "comes back" }));
        Ok(())
    }

    async fn touch(&mut self) -> Result<(), String> {
        let (place, by_previous, now) = (self.place(), self.below(3) == 0, self.model.now);
        let used_at = now + [-20, -1, 0, 1, 50][self.below(5)];
        let slot = if by_previous { SecretSlot::Previous } else { SecretSlot::Current };
        let answer = self.store.touch(vec![Touch::new(self.id(place), slot, at(used_at))], at(now)).await;
        self.model.touch(place, by_previous, used_at);
        self.note(format!("touch {place} {slot} {used_at}"));
        answer.map_err(|error| error.to_string())
    }

    /// Remembers what is there now.
    fn look(&mut self) -> Result<(), String> {
        // Kept until a rotation takes it; what it remembers is fetched when the state was compared last.
        let place = self.place();
        if let Some(record) = self.model.keys[place].seen.clone() {
            self.snapshots.push((place, self.model.keys[place].clone(), record));
        }
        self.note(format!("look at {place}"));
        Ok(())
    }

    /// Presents some token that was ever shown, or one that never was.
    async fn check(&mut self) -> Result<(), String> {
        let (chosen, team, call) = (self.below(self.secrets.len()), self.below(2), self.below(2) == 0);
        let (place, secret, token) = &self.secrets[chosen];
        let (place, mut secret, mut text) = (*place, *secret, token.expose_secret().to_owned());
        if self.below(6) == 0 {
            let kind = grant(self.model.keys[place].owner).kind();
            let wrong = Token::generate_secret(ISSUER, kind, self.id(place), &*self.dice).unwrap();
            (secret, text) = (Secret::MAX, wrong.expose_secret().to_owned());
        }
        let action = if call { Action::call("m1".parse().unwrap(), None) } else { Action::Deploy };
        let request = Request::new(TEAMS[team].parse().unwrap(), action);
        let answer = match self.gate.check(&text, &request).await.map_err(|error| error.to_string())? {
            Verdict::Allowed(authorization) => Ok(authorization.key().slot() == SecretSlot::Previous),
            Verdict::Denied { denial, .. } => Err(denial.reason().to_string()),
            Verdict::Unauthenticated(Unauthenticated::InvalidKey { .. }) => Err("invalid key".to_owned()),
            other => Err(format!("{other:?}")),
        };
        let expected = self.model.check(place, secret, team, call);
        self.agree(format!("check {place} secret {secret}, team {team}, call: {call}"), &expected, &answer)
    }

    /// Every record is what the model says, and the lists have them all.
    async fn compare(&mut self) -> Result<(), String> {
        for place in 0..self.model.keys.len() {
            let record = self.record(place).await?;
            let key = &self.model.keys[place];
            let status = match key.revoked {
                Some(first) => revoked(first),
                None if key.is_disabled => Status::Disabled,
                None => Status::Active,
            };
            let previous = key.previous.map(|previous| {
                (self.digest(place, previous.secret), at(previous.ends_at), previous.last_used_at.map(at))
            });
            let is_same = record.name() == &named(key.name)
                && record.labels() == &labelled(key.labels)
                && record.grant() == &grant(key.owner)
                && record.incarnation().is_some() == (key.owner < USERS.len())
                && record.status() == status
                && record.last_used_at() == key.last_used_at.map(at)
                && record.validity().not_before() == key.not_before.map(at)
                && record.validity().expires_at() == key.expires_at.map(at)
                && record.created_at() == at(key.created_at)
                && Some(record.current()) == self.digest(place, key.current)
                && record.previous().map(|one| (Some(one.digest), one.ends_at, one.last_used_at)) == previous;
            if !is_same {
                return Err(format!("{record:?} is not {key:?}"));
            }
            self.model.keys[place].seen = Some(record);
        }
        let (owner, is_live) = (self.below(4), self.below(2) == 0);
        let mut expected: Vec<_> = (0..self.model.keys.len())
            .filter(|place| self.model.keys[*place].owner == owner)
            .filter(|place| !is_live || self.model.keys[*place].revoked.is_none())
            .collect();
        expected.sort_by_key(|place| (self.model.keys[*place].created_at, self.id(*place)));
        let expected: Vec<_> = expected.into_iter().map(|place| self.id(place)).collect();
        let listed = self.list(grant(owner).owner(), is_live).await?;
        if listed == expected { Ok(()) } else { Err(format!("lists {listed:?} and not {expected:?}")) }
    }

    /// The log has an event for each change, and no other.
    fn compare_log(&self, log: &[Event]) -> Result<(), String> {
        let told: Vec<_> = log.iter().map(|event| (event.kind.as_str(), event.key)).collect();
        let expected: Vec<_> = self.model.events.iter().map(|(kind, place)| (*kind, Some(self.id(*place)))).collect();
        let mut ids: Vec<_> = log.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if told != expected {
            return Err(format!("the log has {told:?} and not {expected:?}"));
        }
        if ids.len() == log.len() { Ok(()) } else { Err("two events have one id".to_owned()) }
    }

    async fn list(&mut self, owner: Owner, is_live: bool) -> Result<Vec<KeyId>, String> {
        let mut query = ListQuery::new();
        query.limit = [1, 2, 3, 100][self.below(4)].try_into().unwrap();
        query.filter.status = is_live.then_some(StatusFilter::NotRevoked);
        let mut ids = Vec::new();
        loop {
            let keys_of = KeysOf::Owner(owner.clone());
            let part = self.store.list(keys_of, query).await.map_err(|error| error.to_string())?;
            ids.extend(part.records.iter().map(|record| record.id()));
            if part.next.is_none() || ids.len() > self.model.keys.len() {
                return Ok(ids);
            }
            query.after = part.next;
        }
    }

    fn agree(
        &mut self,
        operation: String,
        expected: &Result<bool, String>,
        answer: &Result<bool, String>,
    ) -> Result<(), String> {
        self.note(format!("{operation}: {answer:?}"));
        self.refused += usize::from(expected.is_err());
        if expected == answer { Ok(()) } else { Err(format!("{answer:?} and not {expected:?}")) }
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    async fn record(&self, place: usize) -> Result<Arc<KeyRecord>, String> {
        let found = self.store.find(self.id(place)).await.map_err(|error| error.to_string())?;
        found.ok_or_else(|| format!("key {place} is not found"))
    }

    fn id(&self, place: usize) -> KeyId {
        self.secrets.iter().find(|(of, ..)| *of == place).map(|(_, _, token)| token.id()).unwrap()
    }

    fn digest(&self, place: usize, secret: Secret) -> Option<SecretDigest> {
        let found = self.secrets.iter().find(|(of, number, _)| (*of, *number) == (place, secret));
        found.map(|(_, _, token)| token.digest())
    }

    /// Some key; the newest more often, so that something happens to it.
    fn place(&mut self) -> usize {
        let count = self.model.keys.len();
        if self.below(2) == 0 { self.below(count) } else { count - 1 - self.below(count.min(3)) }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.choices.next().unwrap_or(0)) % bound
    }
}

/// Whether something changed, or what a refusal is called.
fn said<E: core::error::Error>(answer: Result<bool, &ManageError<E, Infallible>>) -> Result<bool, String> {
    answer.map_err(|error| error.refusal().map_or_else(|| format!("{error:?}"), |reason| reason.to_string()))
}

fn done<E: core::error::Error>(answer: &Result<Done, ManageError<E, Infallible>>) -> Result<bool, String> {
    said(answer.as_ref().map(|done| *done == Done::Changed))
}

fn revoked((when, cause): (i64, usize)) -> Status {
    Status::Revoked { at: at(when), cause: RevocationCause::ALL[cause] }
}

/// The owners: two users, a team whose keys do everything, and one whose keys call.
fn grant(owner: usize) -> Grant {
    match owner {
        0 | 1 => Grant::personal(USERS[owner].parse().unwrap()),
        2 => Grant::team(TEAMS[0].parse().unwrap(), Permission::full(EnvironmentScope::All)),
        _ => Grant::team(TEAMS[1].parse().unwrap(), Permission::inference_only(EnvironmentScope::All, ModelScope::All)),
    }
}

fn named(name: usize) -> KeyName {
    NAMES[name].parse().unwrap()
}

/// None, and two sets of them.
fn labelled(labels: usize) -> Labels {
    let label = |value: &str| ("device".parse().unwrap(), value.parse().unwrap());
    Labels::new([[].as_slice(), &["laptop"], &["desk"]][labels].iter().map(|value| label(value))).unwrap()
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn span(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap())
}
