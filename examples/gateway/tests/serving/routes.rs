//! Each route, and which keys it takes.

use core::time::Duration;
use std::{thread, time::Instant};

use keygate_sqlx::{Settings, Sqlite};
use serde_json::json;
use sqlx::Executor;

use crate::running::{Gateway, Key, PREDICT, alone, file, runtime};

/// How the routes name what serves, the environment that it is in, and the deployment.
const NAMES: [(&str, Option<&str>, &str); 7] = [
    ("/models/abcd1234/environments/production", Some("production"), "d1prod"),
    ("/models/abcd1234/environments/staging", Some("staging"), "d2stag"),
    ("/models/abcd1234/production", Some("production"), "d1prod"),
    ("/models/wxyz5678/development", Some("development"), "d5deve"),
    ("/models/abcd1234/deployment/d1prod", Some("production"), "d1prod"),
    ("/models/abcd1234/deployment/d2stag", Some("staging"), "d2stag"),
    ("/models/abcd1234/deployment/d3free", None, "d3free"),
];

fn invoke(gateway: &Gateway, name: &str, more: serde_json::Value) -> Key {
    gateway.make(name, "WORKSPACE_INVOKE", more)
}

#[test]
fn every_route_serves_what_it_names() {
    let (_folder, gateway) = alone(&[]);
    let key = invoke(&gateway, "all", json!({}));
    let post = |path: &str, body: &str| gateway.ask(&key.token, "POST", path, body);
    for (path, environment, deployment) in NAMES {
        let answer = post(&format!("{path}/predict"), r#"{"x": 1}"#).expect(200).json();
        assert_eq!(answer["environment"].as_str(), environment, "{path}");
        assert_eq!(answer["deployment"], deployment, "{path}");
        assert_eq!(answer["output"], json!({ "x": 1 }));
        assert_eq!(answer["attributed_to"]["team"], "core");

        let taken = post(&format!("{path}/async_predict"), r#"{"y": 2}"#).expect(201).json();
        let model = path.split('/').nth(2).unwrap();
        let request = format!("/models/{model}/async_request/{}", taken["request_id"].as_str().unwrap());
        let output = gateway.ask(&key.token, "GET", &request, "").expect(200).json();
        assert_eq!(output["output"], json!({ "y": 2 }));
        assert_eq!(output["deployment"], deployment);

        post(&format!("{path}/wake"), "").expect(202);
        let chat = format!("{path}/sync/v1/chat/completions");
        let asked = json!({ "messages": [{ "role": "user", "content": "two words" }] });
        let whole = post(&chat, &asked.to_string()).expect(200).json();
        assert_eq!(whole["choices"][0]["message"]["content"], "You said: two words");
        assert_eq!(whole["model"], model);
        let asked = json!({ "messages": [{ "role": "user", "content": "two words" }], "stream": true });
        let streamed = post(&chat, &asked.to_string()).expect(200);
        assert_eq!(streamed.field("content-type"), ["text/event-stream"]);
        assert!(streamed.body.ends_with("data: [DONE]\n\n"), "{streamed:?}");
    }
    // What a personal key does is attributed to its user.
    let personal = gateway.ask(&gateway.admin, "POST", PREDICT, "{}").expect(200).json();
    assert_eq!(personal["attributed_to"], json!({ "user": "admin" }));
}

#[test]
fn a_model_is_named_by_its_host_or_by_the_path() {
    let (_folder, gateway) = alone(&[]);
    let key = invoke(&gateway, "one", json!({ "model_ids": ["abcd1234"] }));
    let bearer = format!("Bearer {}", key.token);
    let at = |host: &str, path: &str| gateway.send("POST", path, &[("authorization", &bearer), ("host", host)], "{}");
    for path in ["/production/predict", "/environments/production/predict", "/deployment/d1prod/predict"] {
        let answer = at("model-abcd1234.api.example.com", path).expect(200).json();
        assert_eq!((&answer["model"], &answer["deployment"]), (&json!("abcd1234"), &json!("d1prod")));
    }
    at("MODEL-ABCD1234.api.example.com:8080", "/production/predict").expect(200);
    // The query is not part of what is named.
    at("model-abcd1234.api.example.com", "/production/predict?a=/models/wxyz5678").expect(200);
    // The host counts where it names a model, whatever the path says.
    at("model-wxyz5678.api.example.com", PREDICT).expect(404);
    at("model-wxyz5678.api.example.com", "/production/predict").expect(404);
    at("model-absent01.api.example.com", "/production/predict").expect(404);
    at("model-.api.example.com", "/production/predict").expect(404);
    // Other hosts name none.
    at("modelabcd1234.api.example.com", "/production/predict").expect(404);
    at("api.example.com", PREDICT).expect(200);
    // Nobody knows which of two is meant.
    let two = [("authorization", bearer.as_str()), ("host", "model-abcd1234.a"), ("host", "model-wxyz5678.a")];
    gateway.send("POST", "/production/predict", &two, "{}").expect(400);
    // A host names no route that has no key in front.
    for path in ["/healthz", "/readyz", "/openapi.json", "/v1/leaks"] {
        gateway.send("GET", path, &[("host", "model-abcd1234.a")], "").expect(401);
    }
}

#[test]
fn a_key_opens_its_environments_and_models_only() {
    let (_folder, gateway) = alone(&[]);
    let predict = |key: &Key, path: &str| gateway.ask(&key.token, "POST", &format!("{path}/predict"), "{}");
    let production = invoke(&gateway, "production", json!({ "environments": ["production"] }));
    for (path, environment, _) in NAMES {
        match environment {
            Some("production") => predict(&production, path).expect(200),
            Some(_) => predict(&production, path).refused(403, "environment_not_in_scope"),
            // A deployment that is nowhere is in no environment of the key.
            None => predict(&production, path).refused(403, "environment_required"),
        };
    }
    let one = invoke(&gateway, "one", json!({ "model_ids": ["abcd1234"] }));
    for (path, ..) in NAMES {
        predict(&one, path).expect(if path.contains("abcd1234") { 200 } else { 404 });
    }
    // A deployment of another model, and one that there is not.
    predict(&one, "/models/abcd1234/deployment/d4prod").expect(404);
    predict(&one, "/models/abcd1234/deployment/absent").expect(404);
    predict(&one, "/models/abcd1234/development").expect(404);
    let metrics = gateway.make("metrics", "WORKSPACE_EXPORT_METRICS", json!({}));
    for (path, ..) in NAMES {
        predict(&metrics, path).refused(403, "level_insufficient");
    }
}

#[test]
fn a_deployment_counts_in_the_environment_where_it_is_now() {
    let (_folder, gateway) = alone(&[]);
    let production = invoke(&gateway, "production", json!({ "environments": ["production"] }));
    let everything = gateway.make("full", "WORKSPACE_MANAGE_ALL", json!({}));
    let deployment = |id: &str| {
        let path = format!("/models/abcd1234/deployment/{id}/predict");
        gateway.ask(&production.token, "POST", &path, "{}").status
    };
    assert_eq!(deployment("d1prod"), 200);
    let deploy =
        |key: &Key| gateway.ask(&key.token, "POST", "/models/abcd1234/deployments", r#"{"environment": "production"}"#);
    deploy(&production).refused(403, "level_insufficient");
    let made = deploy(&everything).expect(201).json();
    let new = made["deployment"].as_str().unwrap();
    assert_eq!(deployment(new), 200);
    assert_eq!(deployment("d1prod"), 403);
    let answer = gateway.ask(&production.token, "POST", PREDICT, "{}").expect(200).json();
    assert_eq!(answer["deployment"], new);
}

/// The request is checked against its own deployment, in the environment where that is when somebody asks.
#[test]
fn an_asynchronous_request_goes_with_its_deployment() {
    let (folder, gateway) = alone(&[]);
    let production = invoke(&gateway, "production", json!({ "environments": ["production"] }));
    let staging = invoke(&gateway, "staging", json!({ "environments": ["staging"] }));
    let other = invoke(&gateway, "other", json!({ "model_ids": ["wxyz5678"] }));
    let taken = gateway.ask(&production.token, "POST", "/models/abcd1234/production/async_predict", "{}").expect(201);
    let id = taken.json()["request_id"].as_str().unwrap().to_owned();
    let ask =
        |key: &Key, model: &str| gateway.ask(&key.token, "GET", &format!("/models/{model}/async_request/{id}"), "");
    ask(&production, "abcd1234").expect(200);
    ask(&staging, "abcd1234").refused(403, "environment_not_in_scope");
    ask(&other, "abcd1234").expect(404);
    // Not under the name of another model, be it one of the key.
    ask(&other, "wxyz5678").expect(404);
    let absent = "/models/abcd1234/async_request/00000000000000000000000000000000";
    gateway.ask(&production.token, "GET", absent, "").expect(404);

    // The deployment moves to staging: so does the request.
    runtime().block_on(async {
        let database = Sqlite::open(file(folder.path()), Settings::new()).await.unwrap();
        for change in [
            "UPDATE gateway_environments SET deployment_id = 'd3free' WHERE model_id = 'abcd1234' AND name = 'production'",
            "UPDATE gateway_environments SET deployment_id = 'd1prod' WHERE model_id = 'abcd1234' AND name = 'staging'",
        ] {
            database.pool().execute(change).await.unwrap();
        }
        database.close().await.unwrap();
    });
    let start = Instant::now();
    while ask(&production, "abcd1234").status == 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "the move is not seen");
        thread::sleep(Duration::from_millis(50));
    }
    ask(&production, "abcd1234").refused(403, "environment_not_in_scope");
    ask(&staging, "abcd1234").expect(200);
}

#[test]
fn lists_show_what_a_call_would_be_allowed() {
    let (_folder, gateway) = alone(&[]);
    let models = |token: &str| -> Vec<String> {
        let list = gateway.ask(token, "GET", "/v1/models", "").expect(200).json();
        let mut ids: Vec<String> =
            list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().into()).collect();
        ids.sort();
        ids
    };
    let asked = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] }).to_string();
    let all = models(&gateway.admin);
    assert_eq!(all, ["abcd1234", "abcd1234/staging", "labs0001", "wxyz5678", "wxyz5678/development"]);
    for (name, more, seen) in [
        ("everything", json!({}), vec!["abcd1234", "abcd1234/staging", "wxyz5678", "wxyz5678/development"]),
        ("production", json!({ "environments": ["production"] }), vec!["abcd1234", "wxyz5678"]),
        ("one", json!({ "model_ids": ["abcd1234"] }), vec!["abcd1234", "abcd1234/staging"]),
        ("both", json!({ "model_ids": ["abcd1234"], "environments": ["staging"] }), vec!["abcd1234/staging"]),
    ] {
        let key = invoke(&gateway, name, more);
        assert_eq!(models(&key.token), seen, "{name}");
        for model in &all {
            let status = gateway.ask(&key.token, "POST", "/v1/chat/completions", &asked(model)).status;
            assert_eq!(status == 200, seen.contains(&model.as_str()), "{name} {model}: {status}");
        }
    }
    let metrics = gateway.make("metrics", "WORKSPACE_EXPORT_METRICS", json!({}));
    assert!(models(&metrics.token).is_empty());
    gateway.ask(&gateway.admin, "POST", "/v1/chat/completions", r#"{"messages": []}"#).refused(400, "model");
    gateway.ask(&gateway.admin, "POST", "/v1/chat/completions", &asked("absent01")).expect(404);
    gateway.ask(&gateway.admin, "POST", "/v1/chat/completions", &asked("abcd1234/")).expect(404);
}

#[test]
fn numbers_of_models_are_those_in_scope() {
    let (_folder, gateway) = alone(&[]);
    let seen = |token: &str| {
        let text = gateway.ask(token, "GET", "/metrics", "").expect(200).body;
        ["abcd1234", "wxyz5678", "labs0001"].map(|model| text.contains(&format!("model=\"{model}\"")))
    };
    let metrics = gateway.make("metrics", "WORKSPACE_EXPORT_METRICS", json!({}));
    let one = gateway.make("one", "WORKSPACE_EXPORT_METRICS", json!({ "model_ids": ["wxyz5678"] }));
    assert_eq!(seen(&metrics.token), [true, true, false]);
    assert_eq!(seen(&one.token), [false, true, false]);
    assert_eq!(seen(&gateway.admin), [true, true, true]);
    let invoke = invoke(&gateway, "invoke", json!({}));
    gateway.ask(&invoke.token, "GET", "/metrics", "").expect(403);
    gateway.send("GET", "/metrics", &[], "").expect(401);
}
