//! The main job: makes one key of every kind, replays requests of a platform that serves models, and prints each
//! decision with its reason. Then it rotates a key, ends the overlap and revokes it, and shows the difference.
//!
//! ```text
//! cargo run --example quickstart --all-features
//! ```
#![expect(clippy::print_stdout, reason = "the table is the point")]

#[path = "quickstart/keys.rs"]
mod keys;
#[path = "quickstart/platform.rs"]
mod platform;

use core::{error::Error, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header::AUTHORIZATION};
use keygate::{
    Actor, EnvironmentScope, Gate, Grant, ManageError, MemoryDirectory, MemoryStore, NewKeySpec, Permission, Rotation,
    SystemRandomness, TeamRole, Token, UnixTime, Validity, Verdict,
    http::{CredentialSources, Refusal, Responses, extract_credential},
};

use crate::{
    keys::{ACME, Keys, SHORT},
    platform::Platform,
};

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
    directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Member);
    directory.set_member("bob".parse()?, "core".parse()?, TeamRole::Admin);
    let mut keys = Keys::create(store.clone(), directory.clone()).await?;
    println!("Each key is shown once, to the one who gets it:\n");
    for (name, token) in keys.iter() {
        println!("  {name:24} {}", token.expose_secret());
    }

    let rotated_out = keys.spoil().await?;
    // The requests come a little later, when one of the keys has expired.
    let gate = Gate::with_clock(ACME, store, || UnixTime::now().saturating_add(SHORT)).with_directory(directory);
    let service = Service { platform: Platform::new(), gate, responses: Responses::new("models")? };
    println!("\n{}", Row::head());
    for (key, method, url) in REQUESTS {
        let header = format!("Api-Key {}", keys.token(key)?.expose_secret());
        println!("{}", service.replay(key, method, url, &header).await?);
    }

    let good = keys.token("full")?;
    let wrong = Token::generate_secret(ACME, good.kind(), good.id(), &SystemRandomness)?;
    let good = good.expose_secret();
    let mut mistyped = String::from(good);
    let last = if mistyped.pop() == Some('0') { '1' } else { '0' };
    mistyped.push(last);
    for (key, header) in [
        ("(rotated out)", format!("Bearer {}", rotated_out.expose_secret())),
        ("(wrong secret)", format!("Bearer {}", wrong.expose_secret())),
        ("(mistyped)", format!("Bearer {mistyped}")),
        ("(a JWT)", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".into()),
        ("(basic auth)", "Basic YWRhOnNlY3JldA==".into()),
        ("(two tokens)", format!("Bearer {good}, Bearer {good}")),
    ] {
        println!("{}", service.replay(key, "POST", PREDICT, &header).await?);
    }
    create_keys(&keys).await?;
    rotate_and_revoke(&mut keys, &service).await
}

/// The state that a service needs to answer requests.
struct Service {
    platform: Platform,
    gate: Gate<MemoryStore, MemoryDirectory>,
    responses: Responses,
}

impl Service {
    /// Decides a request as it came in, and describes the decision.
    async fn replay(&self, key: &str, method: &str, url: &str, authorization: &str) -> Result<Row, Box<dyn Error>> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization)?);
        let request = format!("{method} {}", url.trim_start_matches("https://"));
        let row = |decision, reason, status| Row::new(&request, key, decision, reason, status);
        let sources = CredentialSources::authorization();
        let credential = match extract_credential(&headers, &sources, self.gate.accepted_keys()) {
            Ok(credential) => credential,
            Err(error) => return Ok(row("refused", error.as_str(), self.responses.answer(error).status())),
        };
        let uri: Uri = url.parse()?;
        let Some(request) = self.platform.route(&Method::from_bytes(method.as_bytes())?, &uri) else {
            return Ok(row("no route", "", StatusCode::NOT_FOUND));
        };
        Ok(match self.gate.check(credential, &request).await? {
            Verdict::Allowed(_) => row("allow", "", StatusCode::OK),
            // The platform hides its resources from callers who may not see them.
            Verdict::Denied { denial, .. } if denial.reveals_existence() => {
                row("deny", denial.reason().as_str(), StatusCode::NOT_FOUND)
            }
            Verdict::Denied { denial, .. } => {
                row("deny", denial.reason().as_str(), self.responses.answer(denial).status())
            }
            // Why it is not valid is for our logs; the client gets the same answer for all of them.
            Verdict::Unauthenticated(why) => {
                row("refused", why.as_str(), self.responses.answer(Refusal::InvalidKey).status())
            }
            // A variant that is added later is no allow.
            _ => row("refused", "", self.responses.answer(Refusal::Unavailable).status()),
        })
    }
}

/// Creating keys is decided too: by the user's role in the team.
async fn create_keys(keys: &Keys) -> Result<(), Box<dyn Error>> {
    let request = format!("POST {}/v1/teams/core/api_keys", platform::API);
    for (who, user) in [("ada, member", "ada"), ("bob, admin", "bob")] {
        let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
        let spec = NewKeySpec::new(grant, "another".parse()?, Validity::NEVER_EXPIRES);
        let (decision, reason, status) = match keys.manager.create(&Actor::User(user.parse()?), spec).await {
            Ok(_) => ("allow", "", StatusCode::CREATED),
            Err(ManageError::Denied(denial)) => ("deny", denial.reason().as_str(), StatusCode::FORBIDDEN),
            Err(error) => return Err(error.into()),
        };
        println!("{}", Row::new(&request, who, decision, reason, status));
    }
    Ok(())
}

async fn rotate_and_revoke(keys: &mut Keys, service: &Service) -> Result<(), Box<dyn Error>> {
    let name = "inference";
    let old = keys.rotate(name, Rotation::Start { overlap: Duration::from_secs(3600) }).await?;
    let old = format!("Bearer {}", old.expose_secret());
    let new = format!("Bearer {}", keys.token(name)?.expose_secret());
    let show = async || -> Result<(), Box<dyn Error>> {
        for (key, header) in [("inference, old secret", &old), ("inference, new secret", &new)] {
            println!("{}", service.replay(key, "POST", PREDICT, header).await?);
        }
        Ok(())
    };
    println!("\nRotated with an hour of overlap: both secrets open the key.");
    show().await?;
    keys.end_overlap(name).await?;
    println!("\nOverlap ended: the old secret is a wrong one.");
    show().await?;
    keys.revoke(name).await?;
    println!("\nRevoked: the key is known, and ended.");
    show().await
}

/// A line of the table.
struct Row {
    cells: [String; 5],
}

impl Row {
    fn new(request: &str, key: &str, decision: &str, reason: &str, status: StatusCode) -> Self {
        Self { cells: [request, key, decision, reason, status.as_str()].map(String::from) }
    }

    fn head() -> String {
        let head = Self { cells: ["request", "key", "decision", "reason", "status"].map(String::from) };
        let line = |width| "-".repeat(width);
        format!("{head}\n{}", Self { cells: [67, 22, 8, 24, 6].map(line) })
    }
}

impl core::fmt::Display for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [request, key, decision, reason, status] = &self.cells;
        write!(f, "{request:67}  {key:22}  {decision:8}  {reason:24}  {status}")
    }
}

const PREDICT: &str = "https://model-abcd1234.models.test/environments/production/predict";

/// Requests as they come in: key, method, URL.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("personal", "POST", PREDICT),
    ("full", "POST", "https://model-abcd1234.models.test/production/predict"),
    ("full", "POST", "https://model-abcd1234.models.test/development/predict"),
    ("full-production", "POST", PREDICT),
    ("full-production", "POST", "https://model-abcd1234.models.test/development/predict"),
    ("full-production", "POST", "https://model-abcd1234.models.test/deployment/d1prod/predict"),
    ("full-production", "POST", "https://model-abcd1234.models.test/deployment/d2stag/predict"),
    ("full-production", "POST", "https://model-abcd1234.models.test/deployment/d3free/predict"),
    ("full-production", "POST", "https://api.models.test/v1/models/abcd1234/deployments"),
    ("inference", "POST", "https://model-abcd1234.models.test/deployment/d3free/predict"),
    ("inference", "POST", "https://model-abcd1234-prod-us.models.test/predict"),
    ("inference-prod-staging", "POST", "https://model-abcd1234-prod-us.models.test/predict"),
    ("inference-prod-staging", "POST", "https://model-abcd1234.models.test/deployment/d2stag/predict"),
    ("inference-prod-staging", "POST", "https://model-abcd1234.models.test/production/async_predict"),
    ("inference-prod-staging", "GET", "https://model-abcd1234.models.test/async_request/job77"),
    ("inference-one-model", "GET", "https://model-abcd1234.models.test/async_request/job77"),
    ("inference-one-model", "POST", "https://model-abcd1234.models.test/production/wake"),
    ("inference-one-model", "POST", "https://model-abcd1234.models.test/production/sync/v1/chat/completions"),
    ("inference-one-model", "POST", "https://model-wxyz5678.models.test/production/predict"),
    ("inference", "POST", "https://api.models.test/v1/models/abcd1234/deployments"),
    ("full", "POST", "https://api.models.test/v1/models/abcd1234/deployments"),
    ("full", "GET", "https://api.models.test/v1/teams/core/secrets"),
    ("metrics", "GET", "https://api.models.test/v1/teams/core/secrets"),
    ("metrics", "GET", "https://api.models.test/v1/teams/core/metrics"),
    ("metrics", "POST", PREDICT),
    ("full", "POST", "https://model-labs0001.models.test/production/predict"),
    ("personal", "POST", "https://model-labs0001.models.test/production/predict"),
    ("revoked", "POST", PREDICT),
    ("expired", "POST", PREDICT),
    ("disabled", "POST", PREDICT),
];
