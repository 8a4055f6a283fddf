//! Answers questions about tokens, policy, managing, headers, names and texts that hold tokens: one JSON object a line on standard input, one
//! line for each on standard output, in order.
//!
//! Ports to other languages, and tests from outside, are held against it. It uses nothing but the public API: to
//! decide, it issues a key, changes its status in a store, verifies its token and asks the policy.
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

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use keygate::{
    Action, Actor, Create, Decision, Disable, Enable, EnvironmentName, Issuer, KeyName, KeyRecord, List, Membership,
    ModelId, Operation, Owner, Reason, RecordParts, Rename, Request, Revoke, Rotate, Scanner, System, TeamId, UnixTime,
    UnverifiedToken, UserId, authorize_operation, decide,
    http::{CredentialHeaders, extract_credential},
};
use serde_json::{Value, json};

use crate::{
    key::Workshop,
    line::{ActionName, ActorLine, Line, NameKind, OperationName, RequestLine},
};

fn main() -> Result<(), Box<dyn Error>> {
    let workshop = Workshop::new()?;
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let answer = match line::parse(&line) {
            Some(question) => answer(&workshop, question)?,
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

fn answer(workshop: &Workshop, question: Line) -> Result<Value, Box<dyn Error>> {
    Ok(match question {
        Line::Parse { issuer, token } => parse(&issuer, &token),
        Line::Decide { key, request, standing, now } => {
            let (Some(key), Some(request)) = (key.into_inner().read(), request_of(request.into_inner())) else {
                return Ok(result("bad_line"));
            };
            let Ok(key) = key else { return Ok(result("invalid_grant")) };
            let key = workshop.verified(key)?;
            result(match decide(&key, standing.map(Membership::from), &request, UnixTime::from_secs(now)) {
                Decision::Allow(_) => "allow",
                Decision::Deny(denial) => denial.reason().as_str(),
            })
        }
        Line::Manage { actor, operation, target, standing, now } => {
            let Some(owner) = target.as_ref().read() else { return Ok(result("bad_line")) };
            let standing = standing.map(Membership::from);
            manage(workshop, actor.into_inner(), operation, owner, standing, UnixTime::from_secs(now))?
        }
        Line::Header { headers, x_api_key } => header(&headers, x_api_key),
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

/// Makes the request, unless an id or a name in it is none, or what the action needs is missing.
fn request_of(line: RequestLine) -> Option<Request> {
    let RequestLine { team, action, model, environment } = line;
    let model = model.map(|id| id.parse::<ModelId>()).transpose().ok()?;
    let environment = environment.map(|name| name.parse::<EnvironmentName>()).transpose().ok()?;
    let action = match action {
        ActionName::Call => Action::Call { model: model?, environment },
        ActionName::Deploy => Action::Deploy,
        ActionName::Manage => Action::Manage,
        ActionName::ExportMetrics => Action::ExportMetrics { model },
    };
    Some(Request::new(team.parse().ok()?, action))
}

fn manage(
    workshop: &Workshop,
    actor: ActorLine,
    operation: OperationName,
    owner: Owner,
    standing: Option<Membership>,
    now: UnixTime,
) -> Result<Value, Box<dyn Error>> {
    let verified;
    let (actor, itself) = match actor {
        ActorLine::System {} => (Actor::system("conformance")?, None),
        ActorLine::User { user } => match user.parse() {
            Ok(user) => (Actor::User(user), None),
            Err(_) => return Ok(result("bad_line")),
        },
        ActorLine::Key { is_self, key } => {
            let Some(key) = key.into_inner().read() else { return Ok(result("bad_line")) };
            let Ok(key) = key else { return Ok(result("invalid_grant")) };
            verified = workshop.verified(key)?;
            (Actor::Key(&verified), is_self.then(|| verified.id()))
        }
    };
    let grant = key::some_grant(owner.clone());
    let mut parts = RecordParts::from(workshop.some_record(grant.clone())?);
    if let Some(id) = itself {
        parts.id = id;
    }
    let record = Arc::new(KeyRecord::try_from(parts)?);
    let reason = match operation {
        OperationName::Create => refusal(&actor, Create(grant), standing, now),
        OperationName::List => refusal(&actor, List(owner), standing, now),
        OperationName::Rename => refusal(&actor, Rename(record), standing, now),
        OperationName::Rotate => refusal(&actor, Rotate(record), standing, now),
        OperationName::Disable => refusal(&actor, Disable(record), standing, now),
        OperationName::Enable => refusal(&actor, Enable(record), standing, now),
        OperationName::Revoke => refusal(&actor, Revoke(record), standing, now),
    };
    Ok(result(reason.map_or("allow", Reason::as_str)))
}

fn refusal<O: Operation>(
    actor: &Actor<'_>,
    operation: O,
    standing: Option<Membership>,
    now: UnixTime,
) -> Option<Reason> {
    authorize_operation(actor, operation, standing, now).err().map(|denial| denial.reason())
}

fn header(lines: &[(String, String)], x_api_key: bool) -> Value {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return result("bad_line");
        };
        // The others are somebody else's, and a map takes only so many names.
        if name == AUTHORIZATION || name == "x-api-key" {
            headers.append(name, value);
        }
    }
    let fields = if x_api_key { CredentialHeaders::AuthorizationOrXApiKey } else { CredentialHeaders::Authorization };
    match extract_credential(&headers, fields) {
        Ok(token) => json!({ "result": "ok", "token": token }),
        Err(error) => result(error.as_str()),
    }
}

fn is_name(kind: NameKind, text: &str) -> bool {
    match kind {
        NameKind::Issuer => text.parse::<Issuer>().is_ok(),
        NameKind::Key => text.parse::<KeyName>().is_ok(),
        NameKind::Environment => text.parse::<EnvironmentName>().is_ok(),
        NameKind::Model => text.parse::<ModelId>().is_ok(),
        NameKind::Team => text.parse::<TeamId>().is_ok(),
        NameKind::User => text.parse::<UserId>().is_ok(),
    }
}

fn scan(issuer: &str, text: &str) -> Value {
    let Ok(issuer) = issuer.parse() else { return result("invalid_issuer") };
    let scanner = Scanner::new(issuer);
    let tokens = scanner.find(text).filter(|found| found.has_valid_checksum());
    let places: Vec<_> = tokens.map(|found| [found.range().start, found.range().end]).collect();
    json!({ "result": "ok", "found": places })
}
