//! What keygate makes of a case, through its public API: a key is issued, changed, presented and verified.

use core::{fmt::Debug, str::FromStr};
use std::sync::Arc;

use keygate::{
    Action, Create, Disable, Enable, EnvironmentScope, Grant, Issued, Issuer, KeyRecord, List, ManageDenial,
    MatchedKey, Membership, ModelScope, Operation, Owner, Permission, RecordParts, Rename, Request, Revoke, Rotate,
    Status, System, UnixTime, UnverifiedToken, Validity, authorize_operation, decide, verify,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::world::{Actor, Holder, Key, Management, Name, Outcome, Target, Use};

const KG: Issuer = Issuer::from_static("kg");

pub fn use_of(case: &Use) -> Outcome {
    let action = match case.action {
        "call" => Action::Call {
            model: parsed(case.model.expect("a call names a model")),
            environment: case.environment.map(parsed),
        },
        "deploy" => Action::Deploy,
        "manage" => Action::Manage,
        "export_metrics" => Action::ExportMetrics { model: case.model.map(parsed) },
        other => panic!("there is no action {other}"),
    };
    let (request, membership) = (Request::new(parsed(case.team), action), case.membership.map(membership));
    let key = verified(&case.key);
    let decision = decide(&key, membership, &request, at(case.now)).into_result();
    decision.map(|_| ()).map_err(|denial| denial.reason().to_string())
}

pub fn management(case: &Management) -> Outcome {
    let key;
    let actor = match &case.actor {
        Actor::System => keygate::Actor::System(System::new("a test").expect("a reason")),
        Actor::User(user) => keygate::Actor::User(parsed(user)),
        Actor::Key(actor) => {
            key = verified(actor);
            keygate::Actor::Key(&key)
        }
    };
    let own = match &case.actor {
        Actor::Key(key) => Some(Arc::new(record(key, OWN).1)),
        Actor::System | Actor::User(_) => None,
    };
    let (owner, grant) = match &case.target {
        Target::Itself => (None, own.as_ref().expect("a key acts").grant().clone()),
        Target::User(user) => (Some(Owner::Personal(parsed(user))), Grant::Personal { user: parsed(user) }),
        Target::Team(team) => {
            let permission = Permission::Full { environments: EnvironmentScope::All };
            (Some(Owner::Team(parsed(team))), Grant::Team { team: parsed(team), permission })
        }
    };
    let target = match &owner {
        None => own.expect("a key acts"),
        Some(_) => Arc::new(issued(grant.clone(), Validity::NEVER_EXPIRES, OTHER).key.record().clone()),
    };
    let ask = Ask { actor: &actor, membership: case.membership.map(membership), now: at(case.now) };
    match (case.operation, owner) {
        ("create", Some(_)) => ask.may(Create(grant)),
        ("list", Some(owner)) => ask.may(List(owner)),
        ("rename", _) => ask.may(Rename(target)),
        ("rotate", _) => ask.may(Rotate(target)),
        ("disable", _) => ask.may(Disable(target)),
        ("enable", _) => ask.may(Enable(target)),
        ("revoke", _) => ask.may(Revoke(target)),
        (other, _) => panic!("there is no operation {other} on this target"),
    }
}

struct Ask<'a> {
    actor: &'a keygate::Actor<'a>,
    membership: Option<Membership>,
    now: UnixTime,
}

impl Ask<'_> {
    fn may<O: Operation>(&self, operation: O) -> Outcome {
        let permit = authorize_operation(self.actor, operation, self.membership, self.now);
        permit.map(|_| ()).map_err(|denial: ManageDenial| denial.reason().to_string())
    }
}

/// Two seeds for two keys.
const OWN: u8 = 1;
const OTHER: u8 = 2;

fn verified(key: &Key) -> MatchedKey {
    let (issued, record) = record(key, OWN);
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).expect("a token");
    verify(&presented, Some(Arc::new(record)), at(0)).expect("its secret")
}

fn record(key: &Key, seed: u8) -> (Issued, KeyRecord) {
    let grant = match &key.holder {
        Holder::Personal { user } => Grant::Personal { user: parsed(user) },
        Holder::Team { team, level, environments, models } => {
            let environments = match environments {
                None => EnvironmentScope::All,
                Some(names) => EnvironmentScope::only(names.iter().map(|name| parsed(name))).expect("environments"),
            };
            let models = match models {
                None => ModelScope::All,
                Some(names) => ModelScope::only(names.iter().map(|name| parsed(name))).expect("models"),
            };
            let permission = match *level {
                "full" => Permission::Full { environments },
                "inference_only" => Permission::InferenceOnly { environments, models },
                "metrics_only" => Permission::MetricsOnly { models },
                other => panic!("there is no level {other}"),
            };
            Grant::Team { team: parsed(team), permission }
        }
    };
    let validity = Validity::new(key.not_before.map(at), key.expires_at.map(at)).expect("the end is after the start");
    let issued = issued(grant, validity, seed);
    let mut parts = RecordParts::from(issued.key.record().clone());
    parts.status = match key.status {
        "active" => Status::Active,
        "disabled" => Status::Disabled,
        "revoked" => Status::Revoked { at: at(0) },
        other => panic!("there is no status {other}"),
    };
    let record = parts.try_into().expect("a record");
    (issued, record)
}

fn issued(grant: Grant, validity: Validity, seed: u8) -> Issued {
    let system = keygate::Actor::System(System::new("a test").expect("a reason"));
    let permit = authorize_operation(&system, Create(grant), None, at(0)).expect("the system may");
    permit.issue(KG, parsed("a-key"), validity, &mut ChaCha20Rng::from_seed([seed; 32]), at(0)).expect("a key")
}

fn membership(name: Name) -> Membership {
    match name {
        "admin" => Membership::Admin,
        "deprovisioned" => Membership::Deprovisioned,
        "member" => Membership::Member,
        "outsider" => Membership::Outsider,
        other => panic!("there is no membership {other}"),
    }
}

const fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a legal name")
}
