//! The words of the pages.

use core::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use keygate::{Grant, ModelId, Permission, RevocationCause, Scope, UnixTime, UserId, store::Creator};

use crate::{api::key::rfc3339, platform::Snapshot};

/// A time, for people and for programs.
pub(super) struct Moment {
    /// As RFC 3339 writes it.
    pub(super) iso: String,
    /// The day and the time, in UTC.
    pub(super) text: String,
    /// How long ago, or in how long.
    pub(super) near: String,
}

impl Moment {
    pub(super) fn new(time: UnixTime, now: UnixTime) -> Self {
        let zoned = Timestamp::from_second(time.as_secs()).map(|time| time.to_zoned(TimeZone::UTC));
        let text = zoned.map_or_else(|_| String::new(), |time| time.strftime("%-d %b %Y, %H:%M UTC").to_string());
        Self { iso: rfc3339(time), text, near: near(time, now) }
    }
}

fn near(time: UnixTime, now: UnixTime) -> String {
    let seconds = time.as_secs().saturating_sub(now.as_secs());
    let is_past = seconds <= 0;
    let span = match seconds.unsigned_abs() {
        0..60 if is_past => return "just now".into(),
        0..60 => return "in less than a minute".into(),
        seconds @ 60..3_600 => count(seconds / 60, "minute"),
        seconds @ 3_600..86_400 => count(seconds / 3_600, "hour"),
        // An end is rounded to the nearest day: what was made for 90 days just now ends in 90 days.
        seconds if is_past => count(seconds / 86_400, "day"),
        seconds => count(seconds.saturating_add(43_200) / 86_400, "day"),
    };
    if is_past { format!("{span} ago") } else { format!("in {span}") }
}

/// Writes a number with its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Reads a day in the one form of dates in forms: 2030-01-31.
pub(super) fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

/// A day in the form of dates in forms: 2030-01-31.
pub(super) fn day(time: UnixTime) -> String {
    rfc3339(time).chars().take(10).collect()
}

/// How much a key may do, in a few words.
pub(super) fn level(grant: &Grant) -> &'static str {
    match grant.permission() {
        None => "Everything that its user may do",
        Some(Permission::Full { .. }) => "Manage and call all team models",
        Some(Permission::InferenceOnly { .. }) => "Call certain models",
        Some(Permission::MetricsOnly { .. }) => "Export model metrics",
        Some(_) => "Own actions",
    }
}

/// The restrictions of a key, one line each; a line says so where there is none.
pub(super) fn scopes(grant: &Grant, snapshot: &Snapshot) -> Vec<String> {
    let Some(permission) = grant.permission() else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(actions) = permission.actions() {
        lines.push(actions.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", "));
    }
    let takes_environments = !matches!(permission, Permission::MetricsOnly { .. });
    let takes_models = matches!(permission, Permission::InferenceOnly { .. } | Permission::MetricsOnly { .. });
    let takes_resources = permission.actions().is_some();
    if takes_models {
        lines.push(scope("models", permission.models(), |model| model_name(model, snapshot)));
    }
    if takes_environments {
        lines.push(scope("environments", permission.environments(), ToString::to_string));
    }
    if takes_resources {
        lines.push(scope("resources", permission.resources(), ToString::to_string));
    }
    lines
}

fn scope<T: AsRef<str> + Ord>(noun: &str, scope: &Scope<T>, name: impl Fn(&T) -> String) -> String {
    match scope.members() {
        None => format!("all {noun}"),
        Some(members) => members.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Names a model, by its id too, since that is what requests name.
pub(super) fn model_name(model: &ModelId, snapshot: &Snapshot) -> String {
    match snapshot.model(model) {
        Some(found) => format!("{} ({model})", found.name),
        None => format!("{model} (gone)"),
    }
}

pub(super) fn user_name(user: &UserId, me: Option<&UserId>, snapshot: &Snapshot) -> String {
    let name = snapshot.user(user).map_or_else(|| user.to_string(), |profile| profile.name.clone());
    if me == Some(user) { format!("{name} (you)") } else { name }
}

pub(super) fn creator(creator: &Creator, me: &UserId, snapshot: &Snapshot) -> String {
    match creator {
        Creator::User(user) => user_name(user, Some(me), snapshot),
        _ => "this server".into(),
    }
}

/// Why a key was revoked.
pub(super) const fn cause(cause: RevocationCause) -> &'static str {
    match cause {
        RevocationCause::Requested => "someone asked for it",
        RevocationCause::OwnerDeprovisioned => "its user left",
        RevocationCause::Leaked => "its secret leaked",
        RevocationCause::Unused => "nobody used it",
        RevocationCause::Replaced => "another key took its place",
        _ => "for a cause that this page does not know",
    }
}

/// A sentence for the rule that refused.
pub(super) fn refusal(reason: &str) -> String {
    let text = match reason {
        "name_taken" => {
            "Another key of this owner has that name. Choose another one; ended keys keep theirs until they \
                         are revoked."
        }
        "revoked" => "The key is revoked, and cannot be enabled again.",
        "disabled" => "The key is disabled. Enable it first.",
        "not_disabled" => "The key is not disabled.",
        "expired" => "The key has expired.",
        "absent" | "not_found" => "There is no such key.",
        "changed" => "Somebody else changed the key at the same moment. Look at it, and try again.",
        "rotation_in_progress" => "A rotation is in progress: the old secret still works. End it first.",
        "overlap_too_long" => "The overlap is too long.",
        "level_insufficient" => "Only an admin of the team may do this.",
        "other_team" | "other_user" => "This key is not yours to change.",
        "owner_deprovisioned" => "You are no longer a user here.",
        "expires_in_past" => "The expiry is not in the future.",
        "expiry_required" => "A key of this kind must expire.",
        "lifetime_too_long" => "The expiry is later than this server allows.",
        "time_too_late" => "The expiry is too far in the future.",
        "kind_not_minted" => "This server issues no keys of this kind.",
        "scope_too_large" => "Too many names for one key.",
        "action_never_allowed" => "With these restrictions, one of the actions could never be allowed.",
        "action_not_declared" => "This server has no such action.",
        "closed" => "You may not do this.",
        other => return format!("The rule is: {}.", other.replace('_', " ")),
    };
    text.into()
}

/// A sentence for the reason of a decision about a request.
pub(super) fn denial(reason: &str) -> String {
    let text = match reason {
        "action_not_in_scope" => "The key does not cover this action.",
        "disabled" => "The key is disabled.",
        "environment_not_in_scope" => "The key is restricted to other environments.",
        "environment_required" => "The key is restricted to environments, and the request names none.",
        "environment_scoped" => "A full key that is restricted to environments can only call models.",
        "expired" => "The key has expired.",
        "level_insufficient" => "The level of the key does not cover this action.",
        "model_not_in_scope" => "The key is restricted to other models.",
        "model_required" => "The key is restricted to models, and the request names none.",
        "not_found" => "There is no such thing, or it is not yours to see.",
        "not_yet_valid" => "The key is not valid yet.",
        "other_team" => "The model, or what is asked for, belongs to another team.",
        "owner_deprovisioned" => "The user of the key left.",
        "resource_not_in_scope" => "The key is restricted to other resources.",
        "resource_required" => "The key is restricted to resources, and the request names none.",
        "revoked" => "The key is revoked.",
        other => return format!("The rule is: {}.", other.replace('_', " ")),
    };
    text.into()
}

/// Makes a sentence of what an error says.
pub(super) fn sentence(text: &str) -> String {
    let mut symbols = text.chars();
    let first = symbols.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", symbols.as_str())
}

pub(super) const DAY: Duration = Duration::from_secs(86_400);
