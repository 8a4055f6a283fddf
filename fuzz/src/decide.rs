//! The policy, written a second time.

use core::{fmt::Debug, str::FromStr};
use std::sync::Arc;

use keygate::{
    Action, Attribution, Coverage, DenialClass, Grant, Incarnation, InvalidScope, Issuer, KeyRecord, Labels,
    Membership, OwnActions, Permission, Request, RevocationCause, Scope, Status, TeamRole, UnixTime,
    policy::Decision,
    store::{Creator, PreviousSecret, RecordParts, SecretSlot},
    verify::{UnverifiedToken, verify},
};

use crate::parse::hash;

/// Makes a small world of the input, verifies its key and decides its request.
///
/// Each byte chooses one thing, in the order of the fields of a world; the digit `0` chooses the first, so that seeds
/// can be written by hand. Bytes that are missing are zeros.
///
/// # Panics
///
/// If the library decides in another way than the table of rules says.
pub fn decide(input: &[u8]) -> &'static str {
    let world = World::read(&mut input.iter().copied());
    let expected = world.outcome();
    let outcome = world.decide();
    assert_eq!(outcome, expected, "{world:?}");
    expected
}

/// A key, what is presented, and a request, as texts and numbers.
#[derive(Debug)]
struct World {
    status: &'static str,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    now: i64,
    is_personal: bool,
    level: &'static str,
    environments: Option<Vec<String>>,
    models: Option<Vec<String>>,
    team: &'static str,
    action: &'static str,
    model: Option<&'static str>,
    environment: Option<&'static str>,
    membership: Option<&'static str>,
    presented: &'static str,
    previous_ends_at: Option<i64>,
    actions: Vec<String>,
    resources: Option<Vec<String>>,
    resource: Option<&'static str>,
    /// Of the user for whom the key was minted, and of the user now.
    incarnations: [Option<i64>; 2],
}

impl World {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Self {
        Self {
            status: choose(bytes, &["active", "disabled", "revoked"]),
            not_before: choose_or_none(bytes, &TIMES),
            expires_at: choose_or_none(bytes, &TIMES),
            now: choose(bytes, &TIMES),
            is_personal: choose(bytes, &[false, true]),
            level: choose(bytes, &["full", "inference_only", "metrics_only", "custom"]),
            environments: list(choose_or_none(
                bytes,
                &["production", "staging", "production staging", "staging staging", "", "development", "x development"],
            )),
            models: list(choose_or_none(bytes, &["m1", "m2", "m2 m1", "m1 m1", "", "M1", MANY])),
            team: choose(bytes, &["core", "labs", "Core", "cor"]),
            action: choose(bytes, &["call", "deploy", "manage", "export_metrics", "projects:read", EXPLICIT]),
            model: choose_or_none(bytes, &["m1", "m2", "m3", "M1", "m", "m17"]),
            environment: choose_or_none(bytes, &["production", "staging", "development", "prod", "production-2"]),
            membership: choose_or_none(bytes, &["admin", "member", "outsider", "deprovisioned"]),
            presented: choose(bytes, &["current", "previous", "other"]),
            previous_ends_at: choose_or_none(bytes, &TIMES),
            actions: words(choose(
                bytes,
                &[
                    "call",
                    "projects:read",
                    "call projects:read projects:purge",
                    "deploy manage export_metrics",
                    "projects:read projects:read",
                    "",
                ],
            )),
            resources: list(choose_or_none(bytes, &["m1", "m2", "m2 m1", "m1 m1", "", "M1", MANY])),
            resource: choose_or_none(bytes, &["m1", "m2", "m3", "M1", "m", "m17"]),
            incarnations: [choose_or_none(bytes, &[1, 2]), choose_or_none(bytes, &[1, 2])],
        }
    }

    /// What must come out.
    fn outcome(&self) -> &'static str {
        let is_bad = |scope: Option<&Vec<String>>| scope.is_some_and(Vec::is_empty);
        let ends = self.expires_at.unwrap_or(i64::MAX);
        let faults = [
            (is_bad(self.environments()), "invalid_scope"),
            (is_bad(self.models()), "invalid_scope"),
            (is_bad(self.resources()), "invalid_scope"),
            (self.is("custom") && self.actions.is_empty(), "invalid_scope"),
            (self.expires_at.is_some() && self.not_before.is_some_and(|start| start >= ends), "invalid_record"),
            (self.previous_ends_at.is_some_and(|end| end > ends), "invalid_record"),
            (self.presented == "other", "invalid_key"),
            (self.presented == "previous" && self.previous_ends_at.is_none_or(|end| end <= self.now), "invalid_key"),
        ];
        let fault = faults.iter().chain(&self.rules()).find(|(is_broken, _)| *is_broken).map(|(_, name)| *name);
        fault.unwrap_or("allow")
    }

    /// The table of section 4: what breaks a rule, and its reason, in the order of the rules.
    fn rules(&self) -> [(bool, &'static str); 19] {
        let membership = |name| self.is_personal && self.membership == Some(name);
        let (environments, models, resources) = (self.environments(), self.models(), self.resources());
        let named = |list: &[String], name: Option<&str>| name.is_some_and(|name| list.iter().any(|one| one == name));
        let (calls, is_explicit) = (self.action == "call", self.action == EXPLICIT);
        let (environment, model, resource) = (self.environment(), self.model(), self.resource());
        let [then, now] = self.incarnations;
        let is_another = self.is_personal && then.is_some() && then != now;
        [
            (self.status == "revoked", "revoked"),
            (self.status == "disabled", "disabled"),
            (self.not_before.is_some_and(|start| self.now < start), "not_yet_valid"),
            (self.expires_at.is_some_and(|end| self.now >= end), "expired"),
            (self.is_personal && self.membership.is_none(), "membership_required"),
            (membership("deprovisioned") || is_another, "owner_deprovisioned"),
            (membership("outsider"), "other_team"),
            (!self.is_personal && self.team != "core", "other_team"),
            ((self.is_personal || self.is("full")) && is_explicit, "action_not_in_scope"),
            (self.is("inference_only") && !calls, "level_insufficient"),
            (self.is("metrics_only") && self.action != "export_metrics", "level_insufficient"),
            (self.is("custom") && !named(&self.actions, Some(self.action)), "action_not_in_scope"),
            (self.is("full") && environments.is_some() && !calls, "environment_scoped"),
            (environments.is_some() && environment.is_none(), "environment_required"),
            (environments.is_some_and(|list| !named(list, environment)), "environment_not_in_scope"),
            (models.is_some() && model.is_none(), "model_required"),
            (models.is_some_and(|list| !named(list, model)), "model_not_in_scope"),
            (resources.is_some() && resource.is_none(), "resource_required"),
            (resources.is_some_and(|list| !named(list, resource)), "resource_not_in_scope"),
        ]
    }

    /// Is this a team key of that level?
    fn is(&self, level: &str) -> bool {
        !self.is_personal && self.level == level
    }

    // A level that takes no restriction is not restricted.

    fn environments(&self) -> Option<&Vec<String>> {
        self.environments.as_ref().filter(|_| !self.is_personal && !self.is("metrics_only"))
    }

    fn models(&self) -> Option<&Vec<String>> {
        self.models.as_ref().filter(|_| self.is("inference_only") || self.is("metrics_only"))
    }

    fn resources(&self) -> Option<&Vec<String>> {
        self.resources.as_ref().filter(|_| self.is("custom"))
    }

    /// What a 403 would show: another team's, or a model or resource that the key must not see, whatever rule refused
    /// first.
    fn would_reveal(&self, reason: &str) -> bool {
        let is_hidden = |list: Option<&Vec<String>>, asked: Option<&str>| {
            list.zip(asked).is_some_and(|(list, asked)| !list.iter().any(|one| one == asked))
        };
        reason == "other_team" || is_hidden(self.models(), self.model()) || is_hidden(self.resources(), self.resource())
    }

    /// The environment that the request names.
    fn environment(&self) -> Option<&'static str> {
        self.environment.filter(|_| self.action == "call" || self.action.contains(':'))
    }

    /// What a restriction to resources is about: that of an own action, and the model of a built-in one.
    fn resource(&self) -> Option<&'static str> {
        if self.action.contains(':') { self.resource } else { self.model() }
    }

    /// The model that the request names; a call always names one.
    fn model(&self) -> Option<&'static str> {
        match self.action {
            "call" => Some(self.model.unwrap_or("m1")),
            "export_metrics" => self.model,
            _ => None,
        }
    }

    /// What the library makes of it.
    fn decide(&self) -> &'static str {
        let (Ok(grant), now) = (self.grant(), UnixTime::from_secs(self.now)) else { return "invalid_scope" };
        let [current, previous, other] = ["current", "previous", "other"].map(|secret| self.token(secret));
        let Ok(record) = KeyRecord::try_from(RecordParts {
            issuer: Issuer::from_static("kg"),
            id: current.id(),
            name: "fuzz".parse().expect("a name"),
            labels: Labels::NONE,
            grant,
            incarnation: self.incarnations[0].filter(|_| self.is_personal).map(Incarnation::new),
            created_at: UnixTime::MIN,
            created_by: Creator::System,
            not_before: self.not_before.map(UnixTime::from_secs),
            expires_at: self.expires_at.map(UnixTime::from_secs),
            last_used_at: None,
            status: match self.status {
                "active" => Status::Active,
                "disabled" => Status::Disabled,
                _ => Status::Revoked { at: UnixTime::MIN, cause: RevocationCause::Requested },
            },
            current: current.digest(),
            previous: self.previous_ends_at.map(|ends_at| PreviousSecret {
                digest: previous.digest(),
                ends_at: UnixTime::from_secs(ends_at),
                last_used_at: None,
            }),
        }) else {
            return "invalid_record";
        };

        let (presented, slot) = match self.presented {
            "current" => (current, SecretSlot::Current),
            "previous" => (previous, SecretSlot::Previous),
            _ => (other, SecretSlot::Current),
        };
        let Ok(key) = verify(&presented, Some(Arc::new(record)), now) else { return "invalid_key" };
        assert_eq!(key.slot(), slot);

        let membership = self.membership.map(|name| {
            let membership = membership(name);
            self.incarnations[1].map_or(membership, |now| membership.with_incarnation(Incarnation::new(now)))
        });
        let request = self.request();
        match keygate::policy::decide(&key, membership, &request, now) {
            Decision::Allow(allow) => {
                assert_eq!(allow.request(), &request);
                let is_the_users = matches!(allow.attribution(), Attribution::User(user) if user.as_str() == "ada");
                assert_eq!(is_the_users, self.is_personal);
                "allow"
            }
            Decision::Deny(denial) => {
                let reason = denial.reason().as_str();
                let expected = match reason {
                    "revoked" | "disabled" | "not_yet_valid" | "expired" | "owner_deprovisioned" => {
                        DenialClass::NotAuthenticated
                    }
                    "membership_required" => DenialClass::Undecided,
                    _ => DenialClass::NotAllowed,
                };
                assert_eq!(denial.class(), expected, "{reason}");
                let reveals = expected == DenialClass::NotAllowed && self.would_reveal(reason);
                assert_eq!(denial.reveals_existence(), reveals, "{reason}");
                reason
            }
        }
    }

    fn grant(&self) -> Result<Grant, InvalidScope> {
        if self.is_personal {
            return Ok(Grant::personal("ada".parse().expect("a user")));
        }
        let permission = match self.level {
            "full" => Permission::full(scope(&self.environments)?),
            "inference_only" => Permission::inference_only(scope(&self.environments)?, scope(&self.models)?),
            "metrics_only" => Permission::metrics_only(scope(&self.models)?),
            _ => {
                let actions = self.actions.iter().map(|name| name.parse().expect("an action"));
                Permission::custom(actions, scope(&self.environments)?, scope(&self.resources)?)?
            }
        };
        Ok(Grant::team("core".parse().expect("a team"), permission))
    }

    /// A token of the key, with a secret that anybody can guess.
    fn token(&self, secret: &str) -> UnverifiedToken {
        let kind = if self.is_personal { 'p' } else { 't' };
        let body = format!("kg{kind}1_{}_{secret:0<32}", "0".repeat(16));
        let text = format!("{body}_{}", &hash(&body)[..8]);
        UnverifiedToken::parse(Issuer::from_static("kg"), &text).expect("a token")
    }

    fn request(&self) -> Request {
        let model = self.model().map(|model| model.parse().expect("a model"));
        let environment = self.environment().map(|name| name.parse().expect("an environment"));
        let action = match (self.action, model) {
            ("call", Some(model)) => Action::call(model, environment),
            ("deploy", _) => Action::Deploy,
            ("manage", _) => Action::Manage,
            ("export_metrics", model) => Action::export_metrics(model),
            (own, _) => {
                let action = OWN_ACTIONS.find(&own.parse().expect("an action")).expect("a declared action");
                Action::custom(action, environment, self.resource.map(|id| id.parse().expect("a resource")))
            }
        };
        Request::new(self.team.parse().expect("a team"), action)
    }
}

fn scope<T: FromStr<Err: Debug> + AsRef<str> + Ord>(list: &Option<Vec<String>>) -> Result<Scope<T>, InvalidScope> {
    match list {
        None => Ok(Scope::All),
        Some(list) => Scope::only(list.iter().map(|text| text.parse().expect("a name"))),
    }
}

fn membership(name: &str) -> Membership {
    let role = match name {
        "admin" => TeamRole::Admin,
        "member" => TeamRole::Member,
        "outsider" => TeamRole::Outsider,
        _ => TeamRole::Deprovisioned,
    };
    role.into()
}

fn choose<T: Copy>(bytes: &mut impl Iterator<Item = u8>, all: &[T]) -> T {
    let byte = bytes.next().unwrap_or(b'0');
    all[usize::from(byte.wrapping_sub(b'0')) % all.len()]
}

/// The first choice is none.
fn choose_or_none<T: Copy>(bytes: &mut impl Iterator<Item = u8>, all: &[T]) -> Option<T> {
    let with_none: Vec<Option<T>> = [None].into_iter().chain(all.iter().copied().map(Some)).collect();
    choose(bytes, &with_none)
}

fn list(text: Option<&str>) -> Option<Vec<String>> {
    text.map(words)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

const EXPLICIT: &str = "projects:purge";
const OWN_ACTIONS: OwnActions =
    OwnActions::new(&[("projects:read", Coverage::Ordinary), (EXPLICIT, Coverage::Explicit)]);

const MANY: &str = "m0 m1 m2 m4 m5 m6 m7 m8 m9 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m20 m21 m22 m23 m24 m25 m26 m27";
const TIMES: [i64; 8] = [100, 99, 101, 0, -1, 200, i64::MIN, i64::MAX];
