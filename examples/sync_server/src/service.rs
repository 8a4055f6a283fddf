//! What becomes of a request.

use core::convert::Infallible;
use std::collections::BTreeMap;

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use keygate::{
    Action, Authorization, EnvironmentName, Event, Gate, Membership, Principal, TeamId, UnixTime, UserId, Verdict,
    check_usable,
    http::{CredentialHeaders, Responses, extract_credential},
};
use serde_json::json;

use crate::{
    keys::ACME,
    platform::{Platform, Route},
    table::Table,
    wire::{Bad, Head, Wire},
};

#[derive(Debug)]
pub(crate) struct Service {
    gate: Gate,
    responses: Responses,
    platform: Platform,
    pub(crate) table: Table,
    members: BTreeMap<UserId, BTreeMap<TeamId, Membership>>,
}

impl Service {
    pub(crate) fn new() -> Result<Self, Box<dyn core::error::Error>> {
        Ok(Self {
            gate: Gate::new(ACME),
            responses: Responses::new("models")?,
            platform: Platform::new()?,
            table: Table::default(),
            members: BTreeMap::from([("ada".parse()?, BTreeMap::from([("core".parse()?, Membership::Member)]))]),
        })
    }

    /// Answers the one request of a connection.
    pub(crate) fn answer(&self, wire: &mut Wire) -> Result<Response<String>, Bad> {
        let mut head = wire.read_head()?;
        let request = match self.platform.route(&head.method, &head.path) {
            Route::Health => return Ok(Response::new("ok".into())),
            Route::Closed => None,
            Route::Ask(request) => Some(request),
        };
        let authorization = match self.admit(&head, request) {
            Ok(authorization) => authorization,
            Err(refusal) => return Ok(*refusal),
        };
        // The body is read only now: nobody without leave makes the server hold data.
        let body = wire.read_body(&mut head)?;
        Ok(serve(&authorization, &body))
    }

    /// From the header fields to a proof, or to the answer that refuses.
    fn admit(&self, head: &Head, request: Option<keygate::Request>) -> Result<Authorization, Box<Response<String>>> {
        let (responses, now) = (&self.responses, UnixTime::now());
        let text = extract_credential(&head.headers, CredentialHeaders::Authorization).map_err(|error| {
            let event = Event::refused(now, Principal::Unverified { claimed: None }, error.as_str());
            told(&event, responses.no_credential(error))
        })?;
        let find = |id| self.table.find(id);
        let Some(request) = request else {
            // Nothing is said about this route. Who asks is looked at first all the same: a key that is not valid gets
            // its 401 everywhere.
            return Err(Box::new(match self.gate.authenticate_blocking(find, text, now) {
                Ok(Ok(key)) => match check_usable(&key, now) {
                    Err(reason) => told(
                        &Event::refused(now, Principal::key(&key), reason.as_str()),
                        responses.unusable_key(reason),
                    ),
                    Ok(()) => told(&Event::refused(now, Principal::key(&key), "closed"), responses.closed()),
                },
                Ok(Err(why)) => told(&why.to_event(now), responses.invalid_key()),
                Err(error) => self.unavailable(&error),
            }));
        };
        let verdict =
            match self.gate.check_blocking(find, |user, team| self.membership(user, team), text, &request, now) {
                Ok(verdict) => verdict,
                Err(error) => return Err(Box::new(self.unavailable(&error))),
            };
        let event = verdict.to_event(now);
        let answer = match verdict {
            Verdict::Allowed(authorization) => return Ok(authorization),
            Verdict::Denied { denial, .. } if denial.reveals_existence() => not_found(),
            Verdict::Denied { denial, .. } => responses.denied(denial),
            Verdict::Unauthenticated(_) => responses.invalid_key(),
        };
        event.iter().for_each(tell);
        Err(Box::new(answer))
    }

    fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Infallible> {
        let in_team = |teams: &BTreeMap<_, _>| teams.get(team).copied().unwrap_or(Membership::Outsider);
        Ok(self.members.get(user).map_or(Membership::Deprovisioned, in_team))
    }

    /// What failed goes to the log, and the client is told nothing of it.
    fn unavailable(&self, error: &dyn core::error::Error) -> Response<String> {
        eprintln!("a look-up failed: {error}");
        self.responses.unavailable()
    }
}

/// Serves what was allowed: it takes the proof, and looks at nothing else of the request but its body.
fn serve(authorization: &Authorization, body: &[u8]) -> Response<String> {
    let request = authorization.request();
    let served = match &request.action {
        Action::Call { model, environment } => json!({
            "model": model.as_str(),
            "environment": environment.as_ref().map(EnvironmentName::as_str),
            "bytes": body.len(),
        }),
        Action::Deploy => json!({ "team": request.team.as_str(), "deployed": true }),
        Action::Manage => json!({ "team": request.team.as_str(), "secrets": ["huggingface"] }),
        _ => return not_found(),
    };
    let mut response = Response::new(served.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The service's own 404.
fn not_found() -> Response<String> {
    let body = r#"{"type":"urn:example:problem:not_found","title":"There is no such resource","status":404}"#;
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn told(event: &Event, answer: Response<String>) -> Response<String> {
    tell(event);
    answer
}

/// The audit log: a line on standard error.
fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        eprintln!("{line}");
    }
}
