//! Cases in plain data, so that neither side uses the types of the other: all of a small world, and random ones.

use core::iter::repeat_with;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

pub type Name = &'static str;

/// What came out: allowed, or the name of the reason, of a use with [`REVEALS`] where an answer of 403 would show what
/// the key must not see.
pub type Outcome = Result<(), String>;
pub const REVEALS: &str = ", which would reveal";

#[derive(Clone, Debug)]
pub struct Key {
    pub holder: Holder,
    pub status: Name,
    pub not_before: Option<i64>,
    pub expires_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Holder {
    /// A personal key, and the incarnation of its user that it was minted for.
    Personal {
        user: Name,
        incarnation: Option<i64>,
    },
    Team(TeamKey),
}

#[derive(Clone, Debug)]
pub struct TeamKey {
    pub team: Name,
    pub level: Name,
    pub environments: Option<Vec<Name>>,
    pub models: Option<Vec<Name>>,
    /// A custom key has a list, and no other.
    pub actions: Option<Vec<Name>>,
    pub resources: Option<Vec<Name>>,
}

impl TeamKey {
    /// A key that nothing restricts.
    #[must_use]
    pub fn full(team: Name) -> Self {
        Self { team, level: "full", environments: None, models: None, actions: None, resources: None }
    }
}

/// May this key do that?
#[derive(Clone, Debug)]
pub struct Use {
    pub key: Key,
    pub membership: Option<Name>,
    /// The present incarnation of the user.
    pub incarnation: Option<i64>,
    pub team: Name,
    /// A built-in action, one of [`ORDINARY`] or one of [`EXPLICIT`].
    pub action: Name,
    /// A call names one always; what is neither a call nor an export has none.
    pub model: Option<Name>,
    /// Of a call and of the service's own actions only.
    pub environment: Option<Name>,
    /// Of the service's own actions only.
    pub resource: Option<Name>,
    pub now: i64,
}

/// May this actor manage that?
#[derive(Clone, Debug)]
pub struct Management {
    pub actor: Actor,
    pub operation: Name,
    pub target: Target,
    pub membership: Option<Name>,
    /// The present incarnation of the user who acts.
    pub incarnation: Option<i64>,
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

/// The service's own actions, which full access covers.
pub const ORDINARY: [Name; 2] = ["projects:read", "projects:write"];
/// The service's own actions that only a list of them covers.
pub const EXPLICIT: [Name; 1] = ["projects:purge"];

const STATUSES: [Name; 3] = ["active", "disabled", "revoked"];
const MEMBERSHIPS: [Option<Name>; 5] = [None, Some("admin"), Some("deprovisioned"), Some("member"), Some("outsider")];
/// Memberships, and the incarnations of the user.
const USERS_NOW: [(Option<Name>, Option<i64>); 7] = [
    (None, None),
    (Some("admin"), None),
    (Some("deprovisioned"), None),
    (Some("member"), None),
    (Some("outsider"), None),
    (Some("admin"), Some(1)),
    (Some("outsider"), Some(2)),
];
const ON_OWNERS: [Name; 2] = ["create", "list"];
const ON_KEYS: [Name; 7] = ["rename", "set_labels", "rotate", "end_overlap", "disable", "enable", "revoke"];

/// Every use in a world of two teams, two models, two environments, and two actions of the service's own.
pub fn all_uses() -> impl Iterator<Item = Use> {
    keys().flat_map(|(key, now)| {
        actions().into_iter().flat_map(move |asked| {
            let Asked { action, model, environment, resource } = asked;
            let key = key.clone();
            ["core", "labs"].into_iter().flat_map(move |team| {
                let key = key.clone();
                users_now(&key).iter().map(move |(membership, incarnation)| Use {
                    key: key.clone(),
                    membership: *membership,
                    incarnation: *incarnation,
                    team,
                    action,
                    model,
                    environment,
                    resource,
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
                let users_now = if let Actor::Key(key) = &actor { users_now(key) } else { &USERS_NOW[..5] };
                users_now.iter().map(move |(membership, incarnation)| Management {
                    actor: actor.clone(),
                    operation,
                    target: target.clone(),
                    membership: *membership,
                    incarnation: *incarnation,
                    target_ends_at: *target_ends_at,
                    now,
                })
            })
        })
    })
}

/// Which user it is tells only of a personal key.
fn users_now(key: &Key) -> &'static [(Option<Name>, Option<i64>)] {
    match key.holder {
        Holder::Personal { .. } => &USERS_NOW,
        Holder::Team(_) => &USERS_NOW[..5],
    }
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
    let mut holders = [None, Some(1)].map(|incarnation| Holder::Personal { user: "ada", incarnation }).to_vec();
    let core = |level| TeamKey { level, ..TeamKey::full("core") };
    for environments in &environments {
        let environments = environments.clone();
        holders.push(Holder::Team(TeamKey { environments: environments.clone(), ..core("full") }));
        for models in &models {
            let (environments, models) = (environments.clone(), models.clone());
            holders.push(Holder::Team(TeamKey { environments, models, ..core("inference_only") }));
        }
    }
    for environments in &environments[..2] {
        for resources in &models[..2] {
            for actions in [["call", "projects:read"].as_slice(), &["deploy", "export_metrics", "projects:purge"]] {
                let (environments, resources) = (environments.clone(), resources.clone());
                let actions = Some(actions.to_vec());
                holders.push(Holder::Team(TeamKey { environments, resources, actions, ..core("custom") }));
            }
        }
    }
    holders.extend(models.map(|models| Holder::Team(TeamKey { models, ..core("metrics_only") })));
    holders
}

#[derive(Clone, Copy)]
struct Asked {
    action: Name,
    model: Option<Name>,
    environment: Option<Name>,
    resource: Option<Name>,
}

fn actions() -> Vec<Asked> {
    let asked = |action| Asked { action, model: None, environment: None, resource: None };
    let mut actions = ["deploy", "manage", "export_metrics"].map(asked).to_vec();
    for model in ["m1", "m2", "m3"] {
        actions.push(Asked { model: Some(model), ..asked("export_metrics") });
        for environment in [None, Some("production"), Some("staging"), Some("development")] {
            actions.push(Asked { model: Some(model), environment, ..asked("call") });
        }
    }
    for environment in [None, Some("production"), Some("development")] {
        for resource in [None, Some("m1"), Some("m3")] {
            actions.push(Asked { environment, resource, ..asked("projects:read") });
        }
    }
    actions.push(asked("projects:purge"));
    actions.push(Asked { environment: Some("production"), resource: Some("m1"), ..asked("projects:purge") });
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
            let levels = ["personal", "full", "inference_only", "inference_only", "metrics_only", "custom", "custom"];
            let (key, action) = (self.key(&levels), self.one(&ASKED));
            let is_own = action.contains(':');
            Use {
                // Mostly the right team: else few cases would come to the rules behind.
                team: if self.chance(4) { self.one(&TEAMS) } else { "core" },
                key,
                membership: self.one(&MEMBERSHIPS),
                incarnation: self.maybe(&INCARNATIONS),
                action,
                model: match action {
                    "call" => Some(self.one(&MODELS)),
                    "export_metrics" => self.maybe(&MODELS),
                    _ => None,
                },
                environment: if action == "call" || is_own { self.maybe(&REQUESTED_ENVIRONMENTS) } else { None },
                resource: if is_own { self.maybe(&MODELS) } else { None },
                now: self.one(&TIMES),
            }
        })
    }

    pub fn managements(&mut self) -> impl Iterator<Item = Management> {
        repeat_with(|| {
            let actor = match self.one(&[0, 1, 1, 2, 2, 2, 2, 2]) {
                0 => Actor::System,
                1 => Actor::User(self.one(&USERS)),
                _ => Actor::Key(self.key(&["personal", "personal", "full", "inference_only", "custom"])),
            };
            let (operation, target) = match (&actor, self.one(&[0, 1, 2, 3, 4])) {
                (_, 0) => (self.one(&ON_OWNERS), Target::User(self.one(&USERS))),
                (_, 1) => (self.one(&ON_OWNERS), Target::Team(self.one(&TEAMS))),
                (_, 2) => (self.one(&ON_KEYS), Target::User(self.one(&USERS))),
                (Actor::Key(_), 3) => (self.one(&ON_KEYS), Target::Itself),
                _ => (self.one(&ON_KEYS), Target::Team(self.one(&TEAMS))),
            };
            let (membership, target_ends_at) = (self.one(&MEMBERSHIPS), self.maybe(&TIMES));
            let (incarnation, now) = (self.maybe(&INCARNATIONS), self.one(&TIMES));
            Management { actor, operation, target, membership, incarnation, target_ends_at, now }
        })
    }

    fn key(&mut self, levels: &[Name]) -> Key {
        let holder = match self.one(levels) {
            "personal" => Holder::Personal { user: self.one(&USERS), incarnation: self.maybe(&INCARNATIONS) },
            level => Holder::Team(TeamKey {
                team: if self.chance(8) { self.one(&TEAMS) } else { "core" },
                level,
                environments: if level == "metrics_only" { None } else { self.scope(&ENVIRONMENTS) },
                models: if ["full", "custom"].contains(&level) { None } else { self.scope(&MODELS) },
                actions: (level == "custom").then(|| self.scope(&ASKED).unwrap_or(vec!["call"])),
                resources: if level == "custom" { self.scope(&MODELS) } else { None },
            }),
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

const INCARNATIONS: [i64; 3] = [1, 1, 2];
const ASKED: [Name; 10] = [
    "call",
    "call",
    "call",
    "deploy",
    "manage",
    "export_metrics",
    "projects:read",
    "projects:read",
    "projects:write",
    "projects:purge",
];
const USERS: [Name; 3] = ["ada", "bob", "core"];
const TEAMS: [Name; 4] = ["core", "labs", "Core", "ada"];
const MODELS: [Name; 5] = ["m1", "m2", "M1", "m", "m11"];
const ENVIRONMENTS: [Name; 4] = ["production", "staging", "prod", "production-2"];
const REQUESTED_ENVIRONMENTS: [Name; 5] = ["production", "staging", "prod", "production-2", "development"];
const TIMES: [i64; 9] = [100, 99, 101, 0, -1, 1, 200, i64::MIN, i64::MAX];
