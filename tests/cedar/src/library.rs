//! What keygate makes of a case, through its public API: a key is issued, changed, presented and verified.

use core::{fmt::Debug, str::FromStr};
use std::sync::{Arc, Mutex};

use keygate::{
    Action, Coverage, EnvironmentScope, Grant, Incarnation, Issuer, KeyRecord, Labels, Membership, OwnActions, Owner,
    Permission, Request, RevocationCause, Scope, Status, System, TeamRole, Token, UnixTime, UserId, Validity,
    manage::{
        Acting, Create, Disable, Enable, EndOverlap, List, ManageDenial, MintRules, Minted, Operation, Rename, Revoke,
        Rotate, SetLabels, authorize_operation,
    },
    policy::decide,
    store::RecordParts,
    verify::{MatchedKey, UnverifiedToken, verify},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::world::{Actor, EXPLICIT, Holder, Key, Management, Name, ORDINARY, Outcome, REVEALS, Target, TeamKey, Use};

const KG: Issuer = Issuer::from_static("kg");
const OWN_ACTIONS: OwnActions = OwnActions::new(&[
    (ORDINARY[0], Coverage::Ordinary),
    (ORDINARY[1], Coverage::Ordinary),
    (EXPLICIT[0], Coverage::Explicit),
]);

pub fn use_of(case: &Use) -> Outcome {
    let action = match case.action {
        "call" => Action::call(parsed(case.model.expect("a call names a model")), case.environment.map(parsed)),
        "deploy" => Action::Deploy,
        "manage" => Action::Manage,
        "export_metrics" => Action::export_metrics(case.model.map(parsed)),
        own => {
            let action = OWN_ACTIONS.find(&parsed(own)).expect("a declared action");
            Action::custom(action, case.environment.map(parsed), case.resource.map(parsed))
        }
    };
    let request = Request::new(parsed(case.team), action);
    let membership = case.membership.map(|role| membership(role, case.incarnation));
    let key = verified(&case.key);
    let decision = decide(&key, membership, &request, at(case.now)).into_result();
    decision.map(|_| ()).map_err(|denial| {
        let reveals = if denial.reveals_existence() { REVEALS } else { "" };
        format!("{}{reveals}", denial.reason())
    })
}

pub fn management(case: &Management) -> Outcome {
    let (system, user, key): (System, UserId, MatchedKey);
    let acting = match &case.actor {
        Actor::System => {
            system = root();
            Acting::System(&system)
        }
        Actor::User(name) => {
            user = parsed(name);
            Acting::User(&user)
        }
        Actor::Key(actor) => {
            key = verified(actor);
            Acting::Key(&key)
        }
    };
    let own = match &case.actor {
        Actor::Key(key) => Some(Arc::new(record(key, OWN).1)),
        Actor::System | Actor::User(_) => None,
    };
    let (owner, grant) = match &case.target {
        Target::Itself => (None, own.as_ref().expect("a key acts").grant().clone()),
        Target::User(user) => (Some(Owner::Personal(parsed(user))), Grant::personal(parsed(user))),
        Target::Team(team) => {
            let permission = Permission::full(EnvironmentScope::All);
            (Some(Owner::Team(parsed(team))), Grant::team(parsed(team), permission))
        }
    };
    let target = match &owner {
        None => own.expect("a key acts"),
        Some(_) => Arc::new(record_of(grant.clone(), case.target_ends_at, OTHER)),
    };
    let membership = case.membership.map(|role| membership(role, case.incarnation));
    let ask = Ask { acting, membership, now: at(case.now) };
    match (case.operation, owner) {
        ("create", Some(_)) => {
            ask.may(Create { grant, validity: Validity::new(None, case.target_ends_at.map(at)).expect("an end") })
        }
        ("list", Some(owner)) => ask.may(List(owner)),
        ("rename", _) => ask.may(Rename(target)),
        ("set_labels", _) => ask.may(SetLabels(target)),
        ("end_overlap", _) => ask.may(EndOverlap(target)),
        ("rotate", _) => ask.may(Rotate(target)),
        ("disable", _) => ask.may(Disable(target)),
        ("enable", _) => ask.may(Enable(target)),
        ("revoke", _) => ask.may(Revoke(target)),
        (other, _) => panic!("there is no operation {other} on this target"),
    }
}

struct Ask<'a> {
    acting: Acting<'a>,
    membership: Option<Membership>,
    now: UnixTime,
}

impl Ask<'_> {
    fn may<O: Operation>(&self, operation: O) -> Outcome {
        let permit = authorize_operation(KG, self.acting, operation, self.membership, self.now);
        permit.map(|_| ()).map_err(|denial: ManageDenial| denial.reason().to_string())
    }
}

/// Two seeds for two keys.
const OWN: u8 = 1;
const OTHER: u8 = 2;

fn verified(key: &Key) -> MatchedKey {
    let (token, record) = record(key, OWN);
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).expect("a token");
    verify(&presented, Some(Arc::new(record)), at(0)).expect("its secret")
}

fn record(key: &Key, seed: u8) -> (Token, KeyRecord) {
    let grant = match &key.holder {
        Holder::Personal { user, .. } => Grant::personal(parsed(user)),
        Holder::Team(TeamKey { team, level, environments, models, actions, resources }) => {
            let permission = match *level {
                "full" => Permission::full(scope(environments)),
                "inference_only" => Permission::inference_only(scope(environments), scope(models)),
                "metrics_only" => Permission::metrics_only(scope(models)),
                "custom" => {
                    let actions = actions.iter().flatten().map(|name| parsed(name));
                    Permission::custom(actions, scope(environments), scope(resources)).expect("actions")
                }
                other => panic!("there is no level {other}"),
            };
            Grant::team(parsed(team), permission)
        }
    };
    // What is minted is less than what a record may hold: a custom key that could never do what it lists is refused.
    let to_mint = match grant.owner() {
        Owner::Team(team) => Grant::team(team, Permission::full(EnvironmentScope::All)),
        _ => grant.clone(),
    };
    let Minted { token, key: minted, .. } = minted(to_mint, seed);
    let mut parts = RecordParts::from(minted.record().clone());
    parts.grant = grant;
    if let Holder::Personal { incarnation, .. } = key.holder {
        parts.incarnation = incarnation.map(Incarnation::new);
    }
    (parts.not_before, parts.expires_at) = (key.not_before.map(at), key.expires_at.map(at));
    parts.status = match key.status {
        "active" => Status::Active,
        "disabled" => Status::Disabled,
        "revoked" => Status::Revoked { at: at(0), cause: RevocationCause::Requested },
        other => panic!("there is no status {other}"),
    };
    (token, parts.try_into().expect("a record"))
}

fn scope<T: FromStr<Err: Debug> + AsRef<str> + Ord>(names: &Option<Vec<Name>>) -> Scope<T> {
    match names {
        None => Scope::All,
        Some(names) => Scope::only(names.iter().map(|name| parsed(name))).expect("members"),
    }
}

/// The record of a key that nothing but its end restricts.
fn record_of(grant: Grant, expires_at: Option<i64>, seed: u8) -> KeyRecord {
    let parts = RecordParts { expires_at: expires_at.map(at), ..minted(grant, seed).key.record().clone().into() };
    parts.try_into().expect("a record")
}

fn minted(grant: Grant, seed: u8) -> Minted {
    let system = root();
    let create = Create { grant, validity: Validity::NEVER_EXPIRES };
    let permit = authorize_operation(KG, Acting::System(&system), create, None, at(0)).expect("the system may");
    let generator = Mutex::new(ChaCha20Rng::from_seed([seed; 32]));
    permit.issue(KG, (parsed("a-key"), Labels::NONE), &MintRules::new(), &generator, at(0)).expect("a key")
}

fn root() -> System {
    System::new("a test").expect("a reason")
}

fn membership(name: Name, incarnation: Option<i64>) -> Membership {
    let role = match name {
        "admin" => TeamRole::Admin,
        "deprovisioned" => TeamRole::Deprovisioned,
        "member" => TeamRole::Member,
        "outsider" => TeamRole::Outsider,
        other => panic!("there is no membership {other}"),
    };
    let membership = Membership::from(role);
    incarnation.map_or(membership, |number| membership.with_incarnation(Incarnation::new(number)))
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a legal name")
}
