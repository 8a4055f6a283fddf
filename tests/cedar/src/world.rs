//! Cases in plain data, so that neither side uses the types of the other: all of a small world, and random ones.

use core::iter::repeat_with;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

pub type Name = &'static str;

/// What came out: allowed, or the name of the reason.
pub type Outcome = Result<(), String>;

#[derive(Clone, Debug)]
pub struct Key {
    pub holder: Holder,
    pub status: Name,
    pub not_before: Option<i64>,
    pub expires_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Holder {
    Personal { user: Name },
    Team { team: Name, level: Name, environments: Option<Vec<Name>>, models: Option<Vec<Name>> },
}

/// May this key do that?
#[derive(Clone, Debug)]
pub struct Use {
    pub key: Key,
    pub membership: Option<Name>,
    pub team: Name,
    pub action: Name,
    /// A call names one always; what is neither a call nor an export has none.
    pub model: Option<Name>,
    /// Of a call only.
    pub environment: Option<Name>,
    pub now: i64,
}

/// May this actor manage that?
#[derive(Clone, Debug)]
pub struct Management {
    pub actor: Actor,
    pub operation: Name,
    pub target: Target,
    pub membership: Option<Name>,
    /// When a key that is made, or another key, ends.
    pub target_ends_at: Option<i64>,
    pub now: i64,
}

#[derive(Clone, Debug)]
pub enum Actor {
    Key(Key),
    System,
    User(Name),
}

/// The owner for `create` and `list`, else another key of the owner than the actor's.
#[derive(Clone, Debug)]
pub enum Target {
    /// The actor's own key.
    Itself,
    Team(Name),
    User(Name),
}

const STATUSES: [Name; 3] = ["active", "disabled", "revoked"];
const MEMBERSHIPS: [Option<Name>; 5] = [None, Some("admin"), Some("deprovisioned"), Some("member"), Some("outsider")];
const ON_OWNERS: [Name; 2] = ["create", "list"];
const ON_KEYS: [Name; 7] = ["rename", "set_labels", "rotate", "end_overlap", "disable", "enable", "revoke"];

/// Every use in a world of two teams, two models and two environments beside the one that no key can have.
pub fn all_uses() -> impl Iterator<Item = Use> {
    keys().flat_map(|(key, now)| {
        actions().into_iter().flat_map(move |(action, model, environment)| {
            let key = key.clone();
            ["core", "labs"].into_iter().flat_map(move |team| {
                let key = key.clone();
                MEMBERSHIPS.map(|membership| Use {
                    key: key.clone(),
                    membership,
                    team,
                    action,
                    model,
                    environment,
                    now,
                })
            })
        })
    })
}

/// Every management in a world of two users and two teams.
pub fn all_managements() -> impl Iterator<Item = Management> {
    let users = ["ada", "bob"].map(|user| (Actor::User(user), 150));
    let actors = [(Actor::System, 150)].into_iter().chain(users).chain(keys().map(|(key, now)| (Actor::Key(key), now)));
    actors.flat_map(|(actor, now)| {
        targets(&actor).into_iter().flat_map(move |(operation, target)| {
            let (actor, target) = (actor.clone(), target.clone());
            // Around the end of the acting key, where what comes out may not outlive it.
            let ends: &[_] = if matches!(target, Target::Team(_)) { &[None, Some(200), Some(201)] } else { &[None] };
            ends.iter().flat_map(move |target_ends_at| {
                let (actor, target) = (actor.clone(), target.clone());
                MEMBERSHIPS.map(|membership| Management {
                    actor: actor.clone(),
                    operation,
                    target: target.clone(),
                    membership,
                    target_ends_at: *target_ends_at,
                    now,
                })
            })
        })
    })
}

/// Keys of each grant, in each status, and each second that is next to a boundary.
fn keys() -> impl Iterator<Item = (Key, i64)> {
    // Where there is one bound only is left to the random cases.
    [(None, None), (Some(100), Some(200))].into_iter().flat_map(|(not_before, expires_at)| {
        [99, 100, 199, 200].into_iter().flat_map(move |now| {
            STATUSES.into_iter().flat_map(move |status| {
                holders().into_iter().map(move |holder| (Key { holder, status, not_before, expires_at }, now))
            })
        })
    })
}

fn holders() -> Vec<Holder> {
    let environments = [None, Some(vec!["production"]), Some(vec!["staging", "production"])];
    let models = [None, Some(vec!["m1"]), Some(vec!["m1", "m2"])];
    let mut holders = vec![Holder::Personal { user: "ada" }];
    for environments in &environments {
        holders.push(team_key("core", "full", environments.clone(), None));
        for models in &models {
            holders.push(team_key("core", "inference_only", environments.clone(), models.clone()));
        }
    }
    holders.extend(models.map(|models| team_key("core", "metrics_only", None, models)));
    holders
}

fn team_key(team: Name, level: Name, environments: Option<Vec<Name>>, models: Option<Vec<Name>>) -> Holder {
    Holder::Team { team, level, environments, models }
}

fn actions() -> Vec<(Name, Option<Name>, Option<Name>)> {
    let mut actions = vec![("deploy", None, None), ("manage", None, None), ("export_metrics", None, None)];
    for model in ["m1", "m2", "m3"] {
        actions.push(("export_metrics", Some(model), None));
        for environment in [None, Some("production"), Some("staging"), Some("development")] {
            actions.push(("call", Some(model), environment));
        }
    }
    actions
}

fn targets(actor: &Actor) -> Vec<(Name, Target)> {
    let owners = [Target::User("ada"), Target::User("bob"), Target::Team("core"), Target::Team("labs")];
    let mut targets = Vec::new();
    for owner in owners {
        targets.extend(ON_OWNERS.iter().chain(&ON_KEYS).map(|operation| (*operation, owner.clone())));
    }
    if let Actor::Key(_) = actor {
        targets.extend(ON_KEYS.map(|operation| (operation, Target::Itself)));
    }
    targets
}

/// Random cases of a wider world; equal seeds give equal cases.
pub struct Random(ChaCha20Rng);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    pub fn uses(&mut self) -> impl Iterator<Item = Use> {
        repeat_with(|| {
            let (key, action) = (self.key(), self.one(&["call", "call", "call", "deploy", "manage", "export_metrics"]));
            Use {
                // Mostly the right team: else few cases would come to the rules behind.
                team: if self.chance(4) { self.one(&TEAMS) } else { "core" },
                key,
                membership: self.one(&MEMBERSHIPS),
                action,
                model: match action {
                    "call" => Some(self.one(&MODELS)),
                    "export_metrics" => self.maybe(&MODELS),
                    _ => None,
                },
                environment: if action == "call" { self.maybe(&REQUESTED_ENVIRONMENTS) } else { None },
                now: self.one(&TIMES),
            }
        })
    }

    pub fn managements(&mut self) -> impl Iterator<Item = Management> {
        repeat_with(|| {
            let actor = match self.one(&[0, 1, 1, 2, 2, 2, 2, 2]) {
                0 => Actor::System,
                1 => Actor::User(self.one(&USERS)),
                _ => Actor::Key(self.key()),
            };
            let (operation, target) = match (&actor, self.one(&[0, 1, 2, 3, 4])) {
                (_, 0) => (self.one(&ON_OWNERS), Target::User(self.one(&USERS))),
                (_, 1) => (self.one(&ON_OWNERS), Target::Team(self.one(&TEAMS))),
                (_, 2) => (self.one(&ON_KEYS), Target::User(self.one(&USERS))),
                (Actor::Key(_), 3) => (self.one(&ON_KEYS), Target::Itself),
                _ => (self.one(&ON_KEYS), Target::Team(self.one(&TEAMS))),
            };
            let (membership, target_ends_at) = (self.one(&MEMBERSHIPS), self.maybe(&TIMES));
            Management { actor, operation, target, membership, target_ends_at, now: self.one(&TIMES) }
        })
    }

    fn key(&mut self) -> Key {
        let holder = match self.one(&["personal", "full", "inference_only", "inference_only", "metrics_only"]) {
            "personal" => Holder::Personal { user: self.one(&USERS) },
            level => Holder::Team {
                team: if self.chance(8) { self.one(&TEAMS) } else { "core" },
                level,
                environments: if level == "metrics_only" { None } else { self.scope(&ENVIRONMENTS) },
                models: if level == "full" { None } else { self.scope(&MODELS) },
            },
        };
        // A start that is not before the end does not construct.
        let (not_before, expires_at) = match (self.maybe(&TIMES), self.maybe(&TIMES)) {
            (Some(start), Some(end)) if start >= end => (None, Some(end)),
            times => times,
        };
        Key { holder, status: self.one(&["active", "active", "active", "disabled", "revoked"]), not_before, expires_at }
    }

    fn scope(&mut self, names: &[Name]) -> Option<Vec<Name>> {
        let mut members: Vec<_> = names.iter().copied().filter(|_| self.chance(2)).collect();
        if self.chance(3) {
            members.truncate(1)
        }
        if members.is_empty() { None } else { Some(members) }
    }

    fn maybe<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        if self.chance(3) { None } else { Some(self.one(values)) }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.0.next_u32().is_multiple_of(one_in)
    }

    fn one<T: Copy>(&mut self, values: &[T]) -> T {
        // Not quite even, which is no matter here.
        values[self.0.next_u32() as usize % values.len()]
    }
}

const USERS: [Name; 3] = ["ada", "bob", "core"];
const TEAMS: [Name; 4] = ["core", "labs", "Core", "ada"];
const MODELS: [Name; 5] = ["m1", "m2", "M1", "m", "m11"];
const ENVIRONMENTS: [Name; 4] = ["production", "staging", "prod", "production-2"];
const REQUESTED_ENVIRONMENTS: [Name; 5] = ["production", "staging", "prod", "production-2", "development"];
const TIMES: [i64; 9] = [100, 99, 101, 0, -1, 1, 200, i64::MIN, i64::MAX];
