//! What Cedar makes of a case.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};

use crate::world::{Actor, Holder, Key, Management, Name, Outcome, REVEALS, Target, TeamKey, Use};

const ENTITIES: &str = include_str!("../policies/entities.cedarschema");
const DECIDE: [&str; 2] = [include_str!("../policies/decide.cedar"), include_str!("../policies/decide.cedarschema")];
/// Which refused uses would reveal something; the actions are those of [`DECIDE`].
const REVEAL: &str = include_str!("../policies/reveal.cedar");
const MANAGE: [&str; 2] = [include_str!("../policies/manage.cedar"), include_str!("../policies/manage.cedarschema")];

/// Policies in the order of their file, and an engine for them.
pub struct Rules {
    policies: Vec<Policy>,
    all: PolicySet,
    permits: PolicySet,
    /// What is permitted by these would be revealed.
    reveal: Vec<Policy>,
    reveals: PolicySet,
    /// What is refused where nothing is permitted and nothing forbidden: a rule and its reason.
    otherwise: Option<(String, &'static str)>,
    schema: Schema,
    authorizer: Authorizer,
}

impl Rules {
    /// The rules of section 4. What no membership and no level covers, rule 4 refuses.
    #[must_use]
    pub fn decide() -> Self {
        let [source, actions] = DECIDE;
        let otherwise = Some(("4".into(), "level_insufficient"));
        Self::new(policies(source), policies(REVEAL), schema(actions), otherwise)
    }

    /// The rules of section 5. They say of everything whether it is permitted or forbidden.
    #[must_use]
    pub fn manage() -> Self {
        let [source, actions] = MANAGE;
        Self::new(policies(source), Vec::new(), schema(actions), None)
    }

    fn new(
        policies: Vec<Policy>,
        reveal: Vec<Policy>,
        schema: Schema,
        otherwise: Option<(String, &'static str)>,
    ) -> Self {
        Self {
            all: set(policies.iter().cloned()),
            permits: set(policies.iter().filter(|policy| policy.effect() == Effect::Permit).cloned()),
            policies,
            reveals: set(reveal.iter().cloned()),
            reveal,
            otherwise,
            schema,
            authorizer: Authorizer::new(),
        }
    }

    /// The same rules without one of them: each is such a mistake as must be found.
    pub fn each_without_one(&self) -> impl Iterator<Item = (String, Self)> {
        (0..self.policies.len() + self.reveal.len()).map(|left_out| {
            let (mut policies, mut reveal) = (self.policies.clone(), self.reveal.clone());
            let policy = match left_out.checked_sub(policies.len()) {
                None => policies.remove(left_out),
                Some(left_out) => reveal.remove(left_out),
            };
            (policy.to_string(), Self::new(policies, reveal, self.schema.clone(), self.otherwise.clone()))
        })
    }

    /// What Cedar's own strict checker finds wrong with the policies.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let validator = Validator::new(self.schema.clone());
        let results = [&self.all, &self.reveals].map(|policies| validator.validate(policies, ValidationMode::Strict));
        let all = results.iter().flat_map(|result| {
            let errors = result.validation_errors().map(ToString::to_string);
            errors.chain(result.validation_warnings().map(ToString::to_string))
        });
        all.collect()
    }

    pub fn use_of(&self, case: &Use) -> Outcome {
        let (principal, entity) = key(&case.key, "own");
        let mut context = vec![
            ("model", case.model.map(text)),
            ("environment", case.environment.map(text)),
            ("resource", case.resource.map(text)),
        ];
        context.extend(surroundings(case.membership, case.incarnation, case.now));
        self.ask((principal, case.action, uid("Team", case.team)), context, vec![entity])
    }

    pub fn management(&self, case: &Management) -> Outcome {
        let mut entities = Vec::new();
        let principal = match &case.actor {
            Actor::System => uid("System", "service"),
            Actor::User(user) => uid("User", user),
            Actor::Key(actor) => {
                let (principal, entity) = key(actor, "own");
                entities.push(entity);
                principal
            }
        };
        let owner = match (&case.target, case.operation) {
            (Target::Itself, _) => None,
            (Target::User(user), "create" | "list") => Some(uid("User", user)),
            (Target::Team(team), "create" | "list") => Some(uid("Team", team)),
            (Target::User(user), _) => {
                let holder = Holder::Personal { user, incarnation: None };
                Some(other_key(holder, case.target_ends_at, &mut entities))
            }
            (Target::Team(team), _) => {
                let holder = Holder::Team(TeamKey::full(team));
                Some(other_key(holder, case.target_ends_at, &mut entities))
            }
        };
        let resource = owner.unwrap_or_else(|| principal.clone());
        let mut context = surroundings(case.membership, case.incarnation, case.now);
        if case.operation == "create" {
            context.push(("expires_at", case.target_ends_at.map(RestrictedExpression::new_long)));
        }
        self.ask((principal, case.operation, resource), context, entities)
    }

    fn ask(
        &self,
        (principal, action, resource): (EntityUid, Name, EntityUid),
        context: Vec<(&str, Option<RestrictedExpression>)>,
        entities: Vec<Entity>,
    ) -> Outcome {
        let context = context.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let context = Context::from_pairs(context).expect("a context");
        let request = Request::new(principal, uid("Action", action), resource, context, Some(&self.schema));
        let request = request.expect("a request that the schema knows");
        let entities = Entities::from_entities(entities, None).expect("entities");

        let response = self.authorizer.is_authorized(&request, &self.all, &entities);
        // Cedar skips a policy that fails: one that forbids would be no obstacle then.
        assert_eq!(response.diagnostics().errors().next().map(ToString::to_string), None);
        if response.decision() == Decision::Allow {
            return Ok(());
        }
        let forbidden = self.policies.iter().find(|policy| response.diagnostics().reason().any(|id| id == policy.id()));
        let forbidden = forbidden.map(|policy| (annotation(policy, "rule"), annotation(policy, "reason")));
        let is_covered = || {
            let response = self.authorizer.is_authorized(&request, &self.permits, &entities);
            response.decision() == Decision::Allow
        };
        let uncovered = match &self.otherwise {
            Some((rule, reason)) if !is_covered() => Some((rule.clone(), (*reason).to_owned())),
            _ => None,
        };
        // Rules are numbered in the order in which they apply.
        let reason = match (forbidden, uncovered) {
            (Some(forbidden), Some(uncovered)) => forbidden.min(uncovered).1,
            (Some((_, reason)), None) | (None, Some((_, reason))) => reason,
            (None, None) => return Err("neither permitted nor forbidden".into()),
        };
        let reveals = || {
            let response = self.authorizer.is_authorized(&request, &self.reveals, &entities);
            assert_eq!(response.diagnostics().errors().next().map(ToString::to_string), None);
            response.decision() == Decision::Allow
        };
        // Of a key that is not usable, or not known to be, nothing is told.
        let is_told = !UNTOLD.contains(&reason.as_str());
        Err(if is_told && reveals() { format!("{reason}{REVEALS}") } else { reason })
    }
}

/// The reasons that are no "not allowed".
const UNTOLD: [&str; 6] =
    ["revoked", "disabled", "not_yet_valid", "expired", "owner_deprovisioned", "membership_required"];

fn set(policies: impl Iterator<Item = Policy>) -> PolicySet {
    PolicySet::from_policies(policies).expect("own ids")
}

fn schema(actions: &str) -> Schema {
    format!("{ENTITIES}{actions}").parse().expect("a schema")
}

/// The policies of a file; that of the first has the least id.
fn policies(source: &str) -> Vec<Policy> {
    let set: PolicySet = source.parse().expect("policies");
    let mut policies: Vec<_> = set.policies().cloned().collect();
    policies.sort_by_key(|policy| number(policy.id()));
    policies
}

/// Cedar names the policies of a text `policy0`, `policy1` and so on.
fn number(id: &PolicyId) -> usize {
    id.to_string().strip_prefix("policy").and_then(|number| number.parse().ok()).expect("a numbered policy")
}

fn annotation(policy: &Policy, name: &str) -> String {
    policy.annotation(name).expect("every policy that forbids has a rule and a reason").to_owned()
}

fn key(key: &Key, id: &str) -> (EntityUid, Entity) {
    let Key { holder, status, not_before, expires_at } = key;
    let (kind, of_holder) = match holder {
        Holder::Personal { user, incarnation } => {
            let incarnation = incarnation.map(RestrictedExpression::new_long);
            ("PersonalKey", vec![("user", Some(entity("User", user))), ("incarnation", incarnation)])
        }
        Holder::Team(TeamKey { team, level, environments, models, actions, resources }) => {
            let set = |names: &Option<Vec<Name>>| {
                names.as_ref().map(|names| RestrictedExpression::new_set(names.iter().map(|name| text(name))))
            };
            let attributes = vec![
                ("team", Some(entity("Team", team))),
                ("level", Some(text(level))),
                ("environments", set(environments)),
                ("models", set(models)),
                ("actions", set(actions)),
                ("resources", set(resources)),
            ];
            ("TeamKey", attributes)
        }
    };
    let attributes: HashMap<_, _> = [
        ("status", Some(text(status))),
        ("not_before", not_before.map(RestrictedExpression::new_long)),
        ("expires_at", expires_at.map(RestrictedExpression::new_long)),
    ]
    .into_iter()
    .chain(of_holder)
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    let uid = uid(kind, id);
    (uid.clone(), Entity::new(uid, attributes, HashSet::new()).expect("an entity"))
}

fn other_key(holder: Holder, expires_at: Option<i64>, entities: &mut Vec<Entity>) -> EntityUid {
    let (uid, entity) = key(&Key { holder, status: "active", not_before: None, expires_at }, "other");
    entities.push(entity);
    uid
}

fn surroundings(
    membership: Option<Name>,
    incarnation: Option<i64>,
    now: i64,
) -> Vec<(&'static str, Option<RestrictedExpression>)> {
    vec![
        ("membership", membership.map(text)),
        ("incarnation", incarnation.map(RestrictedExpression::new_long)),
        ("now", Some(RestrictedExpression::new_long(now))),
    ]
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>().expect("a type"), EntityId::new(id))
}

fn entity(kind: &str, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(kind, id))
}

fn text(value: Name) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}
