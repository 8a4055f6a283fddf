//! Answers questions about tokens, policy, managing, headers, names and texts that hold tokens: one JSON object a line
//! on standard input, one line for each on standard output, in order.
//!
//! Ports to other languages, and tests from outside, are compared with it. It uses only the public API: to
//! decide, it generates a token, makes the parts of a record with the token's digest, verifies the token and asks the
//! policy.
//!
//! ```text
//! $ echo '{"op":"parse","issuer":"kg","token":"kgt1_x"}' | cargo run --release --example conformance --all-features
//! {"result":"malformed"}
//! ```

#[path = "conformance/key.rs"]
mod key;
#[path = "conformance/line.rs"]
mod line;

use core::error::Error;
use std::{
    io::{self, BufRead as _, Write as _},
    sync::Arc,
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, PROXY_AUTHORIZATION},
};
use keygate::{
    Action, ActionName, EnvironmentName, Issuer, KeyName, KeyRecord, LabelName, Membership, ModelId, OwnActions,
    Reason, Request, ResourceId, System, TeamId, UnixTime, UserId,
    http::{CredentialSources, extract_credential},
    manage::{
        Acting, Create, Disable, Enable, EndOverlap, List, Operation, Rename, Revoke, Rotate, SetLabels,
        authorize_operation,
    },
    policy::{Decision, decide},
    scan::Scanner,
    stages::AcceptedKeys,
    verify::UnverifiedToken,
};
use serde_json::{Value, json};

use crate::{
    key::Target,
    line::{ActorLine, KeyLine, Line, NameKind, OperationName, RequestLine, TargetLine},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let answer = match line::parse(&line) {
            Some(question) => answer(question)?,
            None => result("bad_line"),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn result(result: &str) -> Value {
    json!({ "result": result })
}

fn answer(question: Line) -> Result<Value, Box<dyn Error>> {
    Ok(match question {
        Line::Parse { issuer, token } => parse(&issuer, &token),
        Line::Decide { key, request, standing, now } => {
            let membership = standing.map(Membership::from);
            decided(key.into_inner(), request.into_inner(), membership, UnixTime::from_secs(now))?
        }
        Line::Manage { actor, operation, target, standing, now } => {
            let membership = standing.map(Membership::from);
            managed(actor.into_inner(), operation, &target.into_inner(), membership, UnixTime::from_secs(now))?
        }
        Line::Header { issuer, headers, x_api_key } => header(&issuer, &headers, x_api_key),
        Line::Name { kind, text } => result(if is_name(kind, &text) { "ok" } else { "invalid" }),
        Line::Scan { issuer, text } => scan(&issuer, &text),
    })
}

fn parse(issuer: &str, token: &str) -> Value {
    let Ok(issuer) = issuer.parse::<Issuer>() else { return result("invalid_issuer") };
    match UnverifiedToken::parse(issuer, token) {
        Ok(token) => json!({
            "result": "ok",
            "kind": token.kind().as_str(),
            "key_id": token.id().as_str(),
            "display": token.public().to_string(),
            "stored_digest_hex": token.digest().to_string().trim_start_matches("v1$"),
        }),
        Err(error) => result(error.as_str()),
    }
}

fn decided(
    key: KeyLine,
    request: RequestLine,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Value, Box<dyn Error>> {
    let (Some(key), Some(request)) = (key.read(), request_of(&request)) else { return Ok(result("bad_line")) };
    let Ok(key) = key else { return Ok(result("invalid_grant")) };
    let key = key::matched(key)?;
    Ok(match decide(&key, membership, &request, now) {
        Decision::Allow(_) => result("allow"),
        Decision::Deny(denial) => {
            json!({ "result": reason_name(denial.reason()), "reveals": denial.reveals_existence() })
        }
    })
}

/// The driver says standing where the library says membership.
const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::MembershipRequired => "standing_required",
        reason => reason.as_str(),
    }
}

/// Makes the request, unless an id or a name in it is malformed, or a part that the action needs is missing.
fn request_of(line: &RequestLine) -> Option<Request> {
    let RequestLine { team, action, model, environment, resource } = line;
    let model = model.as_ref().map(|id| id.parse::<ModelId>()).transpose().ok()?;
    let environment = environment.as_ref().map(|name| name.parse::<EnvironmentName>()).transpose().ok()?;
    let resource = resource.as_ref().map(|id| id.parse::<ResourceId>()).transpose().ok()?;
    let action = match action.as_str() {
        "call" => Action::call(model?, environment),
        "deploy" => Action::Deploy,
        "manage" => Action::Manage,
        "export_metrics" => Action::export_metrics(model),
        own => Action::custom(OwnActions::EVERY_ORDINARY.find(&own.parse().ok()?)?, environment, resource),
    };
    Some(Request::new(team.parse().ok()?, action))
}

fn managed(
    actor: ActorLine,
    operation: OperationName,
    target: &TargetLine,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Value, Box<dyn Error>> {
    let Some(target) = target.read() else { return Ok(result("bad_line")) };
    let reason = match actor {
        ActorLine::Operator {} => {
            let operator = System::new("conformance")?;
            refusal(Acting::System(&operator), operation, target, None, membership, now)?
        }
        ActorLine::User { user } => {
            let Ok(user) = user.parse::<UserId>() else { return Ok(result("bad_line")) };
            refusal(Acting::User(&user), operation, target, None, membership, now)?
        }
        ActorLine::Key { is_self, key } => {
            let key = key.into_inner();
            // There is no record to create, and no single one to list.
            let is_itself = !matches!(operation, OperationName::Create | OperationName::List)
                && key.owner.as_ref().read() == Some(target.grant.owner())
                && key.expires_at.map(UnixTime::from_secs) == target.validity.expires_at();
            let Some(key) = key.read().filter(|_| !is_self || is_itself) else { return Ok(result("bad_line")) };
            let Ok(key) = key else { return Ok(result("invalid_grant")) };
            let (key, record) = key::matched_with_record(key)?;
            refusal(Acting::Key(&key), operation, target, is_self.then_some(record), membership, now)?
        }
    };
    Ok(result(reason.map_or("allow", reason_name)))
}

/// Asks whether the operation is allowed; `itself` is the record of the acting key, if that is the target.
fn refusal(
    acting: Acting<'_>,
    operation: OperationName,
    target: Target,
    itself: Option<Arc<KeyRecord>>,
    membership: Option<Membership>,
    now: UnixTime,
) -> Result<Option<Reason>, Box<dyn Error>> {
    fn ask<O: Operation>(
        acting: Acting<'_>,
        operation: O,
        membership: Option<Membership>,
        now: UnixTime,
    ) -> Option<Reason> {
        authorize_operation(key::ISSUER, acting, operation, membership, now).err().map(|denial| denial.reason())
    }
    let Target { grant, validity } = target;
    let record = match itself {
        Some(record) => record,
        None => key::some_record(grant.clone(), validity)?,
    };
    Ok(match operation {
        OperationName::Create => ask(acting, Create { grant, validity }, membership, now),
        OperationName::List => ask(acting, List(grant.owner()), membership, now),
        OperationName::Rename => ask(acting, Rename(record), membership, now),
        OperationName::SetLabels => ask(acting, SetLabels(record), membership, now),
        OperationName::Rotate => ask(acting, Rotate(record), membership, now),
        OperationName::EndOverlap => ask(acting, EndOverlap(record), membership, now),
        OperationName::Disable => ask(acting, Disable(record), membership, now),
        OperationName::Enable => ask(acting, Enable(record), membership, now),
        OperationName::Revoke => ask(acting, Revoke(record), membership, now),
    })
}

fn header(issuer: &str, lines: &[(String, String)], x_api_key: bool) -> Value {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return result("bad_line");
        };
        // The others hold no credential, and a map takes only so many names.
        if name == AUTHORIZATION || name == PROXY_AUTHORIZATION || name == "x-api-key" || name == "api-key" {
            headers.append(name, value);
        }
    }
    let Ok(issuer) = issuer.parse() else { return result("invalid_issuer") };
    let sources = CredentialSources::authorization();
    let sources = if x_api_key { sources.with_x_api_key() } else { sources };
    match extract_credential(&headers, &sources, AcceptedKeys::new(issuer)) {
        Ok(token) => json!({ "result": "ok", "token": token }),
        Err(error) => result(error.as_str()),
    }
}

fn is_name(kind: NameKind, text: &str) -> bool {
    match kind {
        NameKind::Issuer => text.parse::<Issuer>().is_ok(),
        NameKind::Key => text.parse::<KeyName>().is_ok(),
        NameKind::Environment => text.parse::<EnvironmentName>().is_ok(),
        NameKind::Action => text.parse::<ActionName>().is_ok(),
        NameKind::Label => text.parse::<LabelName>().is_ok(),
        NameKind::Model => text.parse::<ModelId>().is_ok(),
        NameKind::Resource => text.parse::<ResourceId>().is_ok(),
        NameKind::Team => text.parse::<TeamId>().is_ok(),
        NameKind::User => text.parse::<UserId>().is_ok(),
    }
}

fn scan(issuer: &str, text: &str) -> Value {
    let Ok(issuer) = issuer.parse() else { return result("invalid_issuer") };
    let scanner = Scanner::new(issuer);
    let places: Vec<_> = scanner.find(text).map(|found| [found.range().start, found.range().end]).collect();
    json!({ "result": "ok", "found": places })
}
