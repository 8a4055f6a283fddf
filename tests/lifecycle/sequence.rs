//! Random sequences of everything that happens to keys, on any store, beside a naive model that is asked the same.
//!
//! Shared by the tests of all stores, those of the examples among them, so it uses the public API and nothing else.

use core::{iter::Peekable, time::Duration};
use std::sync::Arc;

use keygate::{
    Action, Actor, Create, Disable, Enable, EnvironmentScope, Gate, Grant, Issuer, KeyManagementStore, KeyManager,
    KeyRecord, ListBy, ManageError, Membership, ModelScope, Operation, Owner, PageRequest, Permission, Permit, Rename,
    Request, Revoke, Rotate, Rotation, Status, System, Token, Unauthenticated, UnixTime, Validity, Verdict,
    authorize_operation,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::model::{Key, Model, Secret};

const ISSUER: Issuer = Issuer::from_static("acme");
pub(crate) const USERS: [&str; 2] = ["ada", "bob"];
const TEAMS: [&str; 2] = ["core", "labs"];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Runs one sequence, until its choices or its steps end, and returns how many operations were refused in it, which
/// should be neither none nor all.
///
/// # Errors
///
/// The operations up to the one that store and model answer differently.
pub(crate) async fn run<S: KeyManagementStore>(
    store: &S,
    choices: impl Iterator<Item = u8>,
    steps: usize,
) -> Result<usize, String> {
    let mut sequence = Sequence {
        manager: KeyManager::new(ISSUER, store),
        model: Model::default(),
        choices: choices.peekable(),
        rng: ChaCha20Rng::from_seed([1; 32]),
        secrets: Vec::new(),
        snapshots: Vec::new(),
        trace: Vec::new(),
        refused: 0,
    };
    for _ in 0..steps {
        if sequence.choices.peek().is_none() {
            break;
        }
        let step = sequence.step().await;
        let step = match step {
            Ok(()) => sequence.compare().await,
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
    manager: KeyManager<&'a S>,
    model: Model,
    choices: Peekable<C>,
    /// Of the keys: it chooses nothing.
    rng: ChaCha20Rng,
    /// Every token that was ever shown: the key's place and the number of its secret are those of the model.
    secrets: Vec<(usize, Secret, Token)>,
    /// Records as they once were: someone looked and did not act yet.
    snapshots: Vec<(usize, Key, Arc<KeyRecord>)>,
    trace: Vec<String>,
    refused: usize,
}

impl<S: KeyManagementStore, C: Iterator<Item = u8>> Sequence<'_, S, C> {
    async fn step(&mut self) -> Result<(), String> {
        let choice = self.below(28);
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
            19 => {
                let user = self.below(USERS.len());
                self.model.deprovisioned[user] ^= true;
                self.note(format!("{} is deprovisioned: {}", USERS[user], self.model.deprovisioned[user]));
                Ok(())
            }
            20..22 => {
                self.model.now += [1, 1, 2, 30, -1, 1000][self.below(6)];
                self.note(format!("it is {}", self.model.now));
                Ok(())
            }
            _ => self.verify().await,
        }
    }

    async fn create(&mut self) -> Result<(), String> {
        let (owner, name, now) = (self.below(4), self.below(NAMES.len()), self.model.now);
        let (start, end) = [(None, None), (Some(1), None), (None, Some(40)), (Some(-1), Some(3))][self.below(4)];
        let bounds = (start.map(|span: i64| now + span), end.map(|span: i64| now + span));
        let validity = Validity::new(bounds.0.map(at), bounds.1.map(at)).unwrap();
        let permit = permit(Create(grant(owner)));
        let answer = self.manager.create(permit, named(name), validity, &mut self.rng, at(now)).await;
        let expected = self.model.create(owner, name, bounds);
        self.agree(format!("create {owner} {name} {bounds:?}"), &expected, &told(&answer))?;
        if let Ok(issued) = answer {
            let place = self.model.keys.len() - 1;
            self.secrets.push((place, 0, issued.token));
        }
        Ok(())
    }

    async fn rename(&mut self) -> Result<(), String> {
        let (place, name) = (self.place(), self.below(NAMES.len()));
        let permit = permit(Rename(self.record(place).await?));
        let answer = self.manager.rename(permit, named(name), at(self.model.now)).await;
        let expected = self.model.rename(place, name);
        self.agree(format!("rename {place} {name}"), &expected, &told(&answer))
    }

    /// Rotates what is there, or what somebody saw some time ago.
    async fn rotate(&mut self) -> Result<(), String> {
        let overlap = [0, 1, 5, 100][self.below(4)];
        let wanted =
            [Rotation::CutOver, Rotation::Start { overlap: span(overlap) }, Rotation::Retry { overlap: span(overlap) }];
        let rotation = wanted[self.below(3)];
        let (place, seen, record) = if self.snapshots.is_empty() || self.below(3) > 0 {
            let place = self.place();
            (place, self.model.keys[place].clone(), self.record(place).await?)
        } else {
            let snapshot = self.below(self.snapshots.len());
            self.snapshots.swap_remove(snapshot)
        };
        let answer = self.manager.rotate(permit(Rotate(record)), rotation, &mut self.rng, at(self.model.now)).await;
        let expected = self.model.rotate(place, &seen, rotation, overlap);
        self.agree(format!("rotate {place} {rotation:?} as of {:?}", seen.current), &expected, &told(&answer))?;
        if let Ok(rotated) = answer {
            self.secrets.push((place, self.model.keys[place].current, rotated.token));
        }
        Ok(())
    }

    async fn end_overlap(&mut self) -> Result<(), String> {
        let place = self.place();
        let permit = permit(Rotate(self.record(place).await?));
        let answer = self.manager.end_overlap(permit, at(self.model.now)).await;
        let expected = self.model.end_overlap(place);
        self.agree(format!("end overlap {place}"), &expected, &told(&answer))
    }

    async fn disable(&mut self) -> Result<(), String> {
        let place = self.place();
        let permit = permit(Disable(self.record(place).await?));
        let answer = self.manager.disable(permit, at(self.model.now)).await;
        let expected = self.model.disable(place);
        self.agree(format!("disable {place}"), &expected, &told(&answer))
    }

    async fn enable(&mut self) -> Result<(), String> {
        let place = self.place();
        let permit = permit(Enable(self.record(place).await?));
        let answer = self.manager.enable(permit, at(self.model.now)).await;
        let expected = self.model.enable(place);
        self.agree(format!("enable {place}"), &expected, &told(&answer))
    }

    async fn revoke(&mut self) -> Result<(), String> {
        let place = self.place();
        let permit = permit(Revoke(self.record(place).await?));
        let answer = self.manager.revoke(permit, at(self.model.now)).await;
        let first = self.model.revoke(place);
        self.agree(format!("revoke {place}"), &Ok(()), &told(&answer))?;
        let told = answer.map(|event| event.kind).ok();
        let expected = Some(keygate::EventKind::Revoked { first_at: at(first) });
        if told == expected { Ok(()) } else { Err(format!("the event is {told:?} and not {expected:?}")) }
    }

    async fn revoke_all(&mut self) -> Result<(), String> {
        let (owner, is_dry, now) = (self.below(4), self.below(2) == 0, at(self.model.now));
        let mut expected: Vec<_> = self.model.live_of(owner).map(|place| self.id(place)).collect();
        expected.sort();
        let system = System::new("a test").unwrap();
        let ids = if is_dry {
            self.manager
                .revoke_all_dry_run(&system, grant(owner).owner(), now)
                .await
                .map_err(|error| error.to_string())?
        } else {
            self.model.revoke_all(owner);
            let events = self.manager.revoke_all(&system, grant(owner).owner(), now).await;
            events.map_err(|error| error.to_string())?.into_iter().filter_map(|event| event.key).collect()
        };
        self.note(format!("revoke all of {owner}, dry: {is_dry}"));
        if ids == expected { Ok(()) } else { Err(format!("ends {ids:?} and not {expected:?}")) }
    }

    async fn touch(&mut self) -> Result<(), String> {
        let (place, now) = (self.place(), self.model.now);
        let used_at = now + [-20, -1, 0, 1, 50][self.below(5)];
        let answer = self.manager.store().touch(self.id(place), at(used_at), at(now)).await;
        self.model.touch(place, used_at);
        self.agree(format!("touch {place} {used_at}"), &Ok(()), &answer.map_err(|error| error.to_string()))
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
    async fn verify(&mut self) -> Result<(), String> {
        let (chosen, team, call) = (self.below(self.secrets.len()), self.below(2), self.below(2) == 0);
        let (place, secret, token) = &self.secrets[chosen];
        let (place, mut secret, mut text) = (*place, *secret, token.expose_secret().to_owned());
        if self.below(6) == 0 {
            let id = self.id(place);
            let kind = grant(self.model.keys[place].owner).kind();
            secret = Secret::MAX;
            text = Token::generate_secret(ISSUER, kind, id, &mut self.rng).unwrap().expose_secret().to_owned();
        }
        let action =
            if call { Action::Call { model: "m1".parse().unwrap(), environment: None } } else { Action::Deploy };
        let request = Request::new(TEAMS[team].parse().unwrap(), action);
        let deprovisioned = self.model.deprovisioned;
        let membership = move |user: &keygate::UserId, _: &keygate::TeamId| {
            let gone = USERS.iter().zip(deprovisioned).any(|(name, gone)| gone && user.as_str() == *name);
            Ok::<_, core::convert::Infallible>(if gone { Membership::Deprovisioned } else { Membership::Member })
        };
        let now = at(self.model.now);
        let gate = Gate::new(ISSUER);
        let verdict =
            match gate.authenticate(self.manager.store(), &text, now).await.map_err(|error| error.to_string())? {
                Err(unauthenticated) => Verdict::Unauthenticated(unauthenticated),
                Ok(key) => {
                    match gate.authorize_blocking(membership, &key, &request, now).map_err(|error| error.to_string())? {
                        keygate::Decision::Allow(allow) => Verdict::Allowed(allow.to_authorization()),
                        keygate::Decision::Deny(denial) => Verdict::Denied { key: key.clone(), denial },
                    }
                }
            };
        let answer = match verdict {
            Verdict::Allowed(_) => Ok(()),
            Verdict::Denied { denial, .. } => Err(denial.reason().to_string()),
            Verdict::Unauthenticated(Unauthenticated::InvalidKey { .. }) => Err("invalid key".to_owned()),
            Verdict::Unauthenticated(other) => Err(other.to_string()),
        };
        let expected = self.model.verify(place, secret, team, call);
        self.agree(format!("verify {place} secret {secret}, team {team}, call: {call}"), &expected, &answer)
    }

    /// Every record is what the model says, and the lists have them all.
    async fn compare(&mut self) -> Result<(), String> {
        for place in 0..self.model.keys.len() {
            let record = self.record(place).await?;
            let key = &self.model.keys[place];
            let (current, previous) = (self.digest(place, key.current), key.previous);
            let status = match key.revoked_at {
                Some(when) => Status::Revoked { at: at(when) },
                None if key.is_disabled => Status::Disabled,
                None => Status::Active,
            };
            let is_same = record.name() == &named(key.name)
                && record.grant() == &grant(key.owner)
                && record.status() == status
                && record.last_used_at() == key.last_used_at.map(at)
                && record.validity().not_before() == key.not_before.map(at)
                && record.validity().expires_at() == key.expires_at.map(at)
                && record.created_at() == at(key.created_at)
                && Some(record.current()) == current
                && record.previous().map(|previous| (Some(previous.digest), previous.ends_at))
                    == previous.map(|(secret, end)| (self.digest(place, secret), at(end)));
            if !is_same {
                return Err(format!("{record:?} is not {key:?}"));
            }
            self.model.keys[place].seen = Some(record);
        }
        let owner = self.below(4);
        let mut expected: Vec<_> = self.model.keys.iter().enumerate().filter(|(_, key)| key.owner == owner).collect();
        expected.sort_by_key(|(place, key)| (key.created_at, self.id(*place)));
        let expected: Vec<_> = expected.into_iter().map(|(place, _)| self.id(place)).collect();
        let listed = self.list(grant(owner).owner()).await?;
        if listed == expected { Ok(()) } else { Err(format!("lists {listed:?} and not {expected:?}")) }
    }

    async fn list(&mut self, owner: Owner) -> Result<Vec<keygate::KeyId>, String> {
        let limit = [1, 2, 3, 100][self.below(4)];
        let mut page = PageRequest { after: None, limit: limit.try_into().unwrap() };
        let mut ids = Vec::new();
        loop {
            let part = self
                .manager
                .store()
                .list(ListBy::Owner(owner.clone()), page)
                .await
                .map_err(|error| error.to_string())?;
            ids.extend(part.records.iter().map(|record| record.id()));
            if part.next.is_none() || ids.len() > self.model.keys.len() {
                return Ok(ids);
            }
            page.after = part.next;
        }
    }

    fn agree(
        &mut self,
        operation: String,
        expected: &Result<(), String>,
        answer: &Result<(), String>,
    ) -> Result<(), String> {
        self.note(format!("{operation}: {answer:?}"));
        self.refused += usize::from(expected.is_err());
        if expected == answer { Ok(()) } else { Err(format!("{answer:?} and not {expected:?}")) }
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    async fn record(&self, place: usize) -> Result<Arc<KeyRecord>, String> {
        let found = self.manager.store().find(self.id(place)).await.map_err(|error| error.to_string())?;
        found.ok_or_else(|| format!("key {place} is not found"))
    }

    fn id(&self, place: usize) -> keygate::KeyId {
        self.secrets.iter().find(|(of, ..)| *of == place).map(|(_, _, token)| token.id()).unwrap()
    }

    fn digest(&self, place: usize, secret: Secret) -> Option<keygate::SecretDigest> {
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

/// What a refusal is called.
fn told<T, E: core::error::Error>(answer: &Result<T, ManageError<E>>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(ManageError::Conflict(conflict)) => Err(conflict.as_str().to_owned()),
        Err(ManageError::Rotate(error)) => Err(error.as_str().to_owned()),
        Err(other) => Err(format!("{other:?}")),
    }
}

fn permit<O: Operation>(operation: O) -> Permit<O> {
    authorize_operation(&Actor::system("a test").unwrap(), operation, None, at(0)).unwrap()
}

/// The owners: two users, a team whose keys do everything, and one whose keys call.
fn grant(owner: usize) -> Grant {
    match owner {
        0 | 1 => Grant::Personal { user: USERS[owner].parse().unwrap() },
        2 => Grant::Team {
            team: TEAMS[0].parse().unwrap(),
            permission: Permission::Full { environments: EnvironmentScope::All },
        },
        _ => Grant::Team {
            team: TEAMS[1].parse().unwrap(),
            permission: Permission::InferenceOnly { environments: EnvironmentScope::All, models: ModelScope::All },
        },
    }
}

fn named(name: usize) -> keygate::KeyName {
    NAMES[name].parse().unwrap()
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn span(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap())
}
