//! From who that is to whether they may.

use std::{hint::black_box, str::FromStr as _};

use casbin::{CoreApi as _, DefaultModel, Enforcer, MemoryAdapter, MgmtApi as _};
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet};
use keygate_bench_instructions::{Scenario, Work, scenario};
use regorus::{Engine, Rc, Value, languages::rego::compiler::Compiler, rvm::vm::RegoVM};
use serde_json::json;

pub const CEDAR: &str = "cedar-policy 4.14/10";

pub fn among_10() -> Vec<Scenario> {
    vec![
        Scenario { name: "keygate/10", prepare: scenario::DECISIONS[1].prepare },
        Scenario { name: CEDAR, prepare: || cedar(10) },
        Scenario { name: "casbin 2.20/10", prepare: || casbin(10) },
        Scenario { name: "regorus 0.14, VM/10", prepare: || regorus(10) },
    ]
}

pub fn among_1000() -> Vec<Scenario> {
    vec![
        Scenario { name: "keygate/1000", prepare: scenario::DECISIONS[2].prepare },
        Scenario { name: "cedar-policy 4.14/1000", prepare: || cedar(1000) },
        Scenario { name: "casbin 2.20/1000", prepare: || casbin(1000) },
        Scenario { name: "regorus 0.14, VM/1000", prepare: || regorus(1000) },
    ]
}

fn models(size: u32) -> Vec<String> {
    (0..size).map(|number| scenario::model(number).to_string()).collect()
}

/// The one from the middle, as keygate is asked.
fn asked(size: u32) -> String {
    scenario::model(size.midpoint(0)).to_string()
}

fn cedar(size: u32) -> Work {
    let policies = r#"permit (principal, action == Action::"call", resource) when {
        principal.team == context.team
            && principal.environments.contains(context.environment)
            && principal.models.contains(context.model)
    };"#;
    let policies = PolicySet::from_str(policies).unwrap();
    let key = json!([{
        "uid": { "type": "Key", "id": "wk59pfKL0jFi2YYv" },
        "attrs": { "team": "core", "environments": ["production", "staging"], "models": models(size) },
        "parents": [],
    }]);
    let entities = Entities::from_json_value(key, None).unwrap();
    let uid = |text| EntityUid::from_str(text).unwrap();
    let context = json!({ "team": "core", "environment": "production", "model": asked(size) });
    let request = cedar_policy::Request::new(
        uid(r#"Key::"wk59pfKL0jFi2YYv""#),
        uid(r#"Action::"call""#),
        uid(r#"Team::"core""#),
        Context::from_json_value(context, None).unwrap(),
        None,
    )
    .unwrap();
    let authorizer = Authorizer::new();
    Box::new(move || {
        let response = authorizer.is_authorized(black_box(&request), &policies, &entities);
        assert_eq!(response.decision(), Decision::Allow);
    })
}

fn casbin(size: u32) -> Work {
    let model = "[request_definition]
r = key, environment, model
[policy_definition]
p = key, environment, model
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.key == p.key && r.environment == p.environment && r.model == p.model";
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let enforcer = runtime.block_on(async {
        let model = DefaultModel::from_str(model).await.unwrap();
        let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await.unwrap();
        let line = |model| vec!["wk59pfKL0jFi2YYv".to_owned(), "production".to_owned(), model];
        enforcer.add_policies(models(size).into_iter().map(line).collect()).await.unwrap();
        enforcer
    });
    let asked = asked(size);
    Box::new(move || {
        assert!(enforcer.enforce(("wk59pfKL0jFi2YYv", "production", black_box(asked.as_str()))).unwrap());
    })
}

fn regorus(size: u32) -> Work {
    let policy = "package keys
import rego.v1
default allow := false
allow if {
    input.key.team == input.request.team
    input.request.environment in input.key.environments
    input.request.model in input.key.models
}";
    let mut engine = Engine::new();
    engine.add_policy("keys.rego".to_owned(), policy.to_owned()).unwrap();
    let entry: Rc<str> = "data.keys.allow".into();
    let compiled = engine.compile_with_entrypoint(&entry).unwrap();
    let mut vm = RegoVM::new();
    vm.load_program(Compiler::compile_from_policy(&compiled, &["data.keys.allow"]).unwrap());
    let input = json!({
        "key": { "team": "core", "environments": ["production", "staging"], "models": models(size) },
        "request": { "team": "core", "environment": "production", "model": asked(size) },
    });
    let input = Value::from_json_str(&input.to_string()).unwrap();
    Box::new(move || {
        vm.set_input(black_box(&input).clone());
        assert_eq!(vm.execute().unwrap(), Value::from(true));
    })
}
