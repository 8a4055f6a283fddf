//! Keys as JSON, in requests and responses. The names are those that Baseten documents, where it has them.

use core::str::FromStr;
use std::collections::BTreeMap;

use jiff::Timestamp;
use keygate::{
    Grant, KeyId, KeyRecord, Labels, ModelId, Permission, Scope, Status, TeamId, UnixTime,
    http::Refusal,
    store::{Creator, KeyStore as _},
    verify::DisplayToken,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use utoipa::ToSchema;

use super::problem::Failure;
use crate::{app::App, platform::Snapshot};

/// The permission of a key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum KeyType {
    /// All that its user may do, for as long as they may.
    Personal,
    /// Everything in the team, but for managing keys.
    WorkspaceManageAll,
    /// Calling models.
    WorkspaceInvoke,
    /// Exporting the numbers of models.
    WorkspaceExportMetrics,
    /// The actions that it lists.
    Custom,
}

impl KeyType {
    pub(crate) const fn of(grant: &Grant) -> Self {
        match grant.permission() {
            None => Self::Personal,
            Some(Permission::Full { .. }) => Self::WorkspaceManageAll,
            Some(Permission::InferenceOnly { .. }) => Self::WorkspaceInvoke,
            Some(Permission::MetricsOnly { .. }) => Self::WorkspaceExportMetrics,
            Some(_) => Self::Custom,
        }
    }
}

/// A key, without anything that could open it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyInfo {
    /// The public start of its token.
    prefix: String,
    /// The part of the prefix that is unique.
    id: String,
    name: String,
    r#type: KeyType,
    /// The models that it is restricted to.
    model_ids: Option<Vec<String>>,
    /// The environments that it is restricted to.
    environments: Option<Vec<String>>,
    /// Of a custom key: what it may do.
    actions: Option<Vec<String>>,
    /// Of a custom key: the resources that it is restricted to.
    resources: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    team_id: Option<String>,
    team_name: Option<String>,
    /// Of a personal key: its user.
    owner: Option<UserInfo>,
    /// The user who made it; none where the service itself did, or where a key of a team asks.
    created_by: Option<UserInfo>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    not_before: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// `active`, `not_yet_valid`, `expired`, `disabled` or `revoked`, by the clock.
    status: String,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    revocation_cause: Option<String>,
    /// The secret before the last rotation, while it is still valid.
    previous: Option<PreviousInfo>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserInfo {
    user_id: String,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviousInfo {
    #[schema(format = DateTime)]
    ends_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl KeyInfo {
    pub(crate) fn of(record: &KeyRecord, snapshot: &Snapshot, now: UnixTime) -> Self {
        let user = |user: &keygate::UserId| {
            let profile = snapshot.user(user);
            UserInfo {
                user_id: user.to_string(),
                email: profile.and_then(|profile| profile.email.clone()),
                name: profile.map(|profile| profile.name.clone()),
            }
        };
        let permission = record.grant().permission();
        let team = match record.grant() {
            Grant::Team { team, .. } => Some(team),
            _ => None,
        };
        let (revoked_at, revocation_cause) = match record.status() {
            Status::Revoked { at, cause } => (Some(at), Some(cause.as_str().to_owned())),
            _ => (None, None),
        };
        Self {
            prefix: prefix(record),
            id: record.id().to_string(),
            name: record.name().to_string(),
            r#type: KeyType::of(record.grant()),
            model_ids: permission.and_then(|permission| members(permission.models())),
            environments: permission.and_then(|permission| members(permission.environments())),
            actions: permission.and_then(Permission::actions).map(|actions| texts(actions.iter())),
            resources: permission.and_then(|permission| members(permission.resources())),
            labels: record.labels().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            team_id: team.map(ToString::to_string),
            team_name: team.and_then(|team| snapshot.team_name(team)).map(ToOwned::to_owned),
            owner: record.grant().user().map(user),
            created_by: match record.created_by() {
                Creator::User(creator) => Some(user(creator)),
                _ => None,
            },
            created_at: rfc3339(record.created_at()),
            last_used_at: record.last_used_at().map(rfc3339),
            not_before: record.validity().not_before().map(rfc3339),
            expires_at: record.validity().expires_at().map(rfc3339),
            status: status(record, now).into(),
            revoked_at: revoked_at.map(rfc3339),
            revocation_cause,
            previous: record.live_previous(now).map(|previous| PreviousInfo {
                ends_at: rfc3339(previous.ends_at),
                last_used_at: previous.last_used_at.map(rfc3339),
            }),
        }
    }

    /// Leaves out who made it: a key of a team may be in the hands of somebody else.
    pub(crate) fn without_people(self) -> Self {
        Self { created_by: None, ..self }
    }
}

/// Returns the public start of the key's tokens.
pub(crate) fn prefix(record: &KeyRecord) -> String {
    DisplayToken::new(record.issuer(), record.kind(), record.id()).to_string()
}

/// Returns what the key is at this time.
pub(crate) fn status(record: &KeyRecord, now: UnixTime) -> &'static str {
    match record.status() {
        Status::Active if record.validity().is_before_start(now) => "not_yet_valid",
        Status::Active if record.validity().is_expired(now) => "expired",
        status => status.as_str(),
    }
}

fn members<T: AsRef<str> + Ord + ToString>(scope: &Scope<T>) -> Option<Vec<String>> {
    scope.members().map(|members| texts(members.iter()))
}

fn texts<'a, T: ToString + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<String> {
    all.map(ToString::to_string).collect()
}

/// Writes a time as RFC 3339 does.
pub(crate) fn rfc3339(time: UnixTime) -> String {
    // keygate stores no time after the year 9999.
    Timestamp::from_second(time.as_secs()).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Reads a time of RFC 3339; a part of a second is cut off.
pub(crate) fn parse_time(text: &str) -> Result<UnixTime, Failure> {
    let time = text.parse::<Timestamp>().ok().filter(|_| is_rfc3339(text));
    let wrong = || Failure::invalid("time", "a time is written as in RFC 3339, such as 2030-01-31T12:00:00Z");
    time.map(|time| UnixTime::from_secs(time.as_second())).ok_or_else(wrong)
}

/// jiff reads more forms: `2030-01-31 12Z`, `20300131T120000Z`, a zone in brackets.
fn is_rfc3339(text: &str) -> bool {
    let Some((start, end)) = text.split_at_checked(19) else { return false };
    let (fraction, zone) = match end.find(['Z', '+', '-']) {
        Some(place) => end.split_at(place),
        None => return false,
    };
    let is_like = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(symbol, shape)| match shape {
                b'0' => symbol.is_ascii_digit(),
                shape => symbol == shape,
            })
    };
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    is_like(start, "0000-00-00T00:00:00")
        && (fraction.is_empty() || fraction.starts_with('.'))
        && !digits.is_empty()
        && digits.bytes().all(|symbol| symbol.is_ascii_digit())
        && ["Z", "+00:00", "-00:00"].iter().any(|shape| is_like(zone, shape))
}

/// A key that is asked for. Where no models or environments are given, it is restricted to none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// Unique among the keys of the owner; made up where none is given.
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9-]{1,64}$")]
    pub(super) name: Option<String>,
    pub(super) r#type: KeyType,
    /// The team, where the path names none; where it does, the same one.
    #[serde(default)]
    pub(super) team_id: Option<String>,
    /// Of `WORKSPACE_INVOKE` and `WORKSPACE_EXPORT_METRICS`.
    #[serde(default)]
    #[schema(min_items = 1)]
    model_ids: Option<Vec<String>>,
    /// Of all types but `PERSONAL` and `WORKSPACE_EXPORT_METRICS`.
    #[serde(default)]
    #[schema(min_items = 1)]
    environments: Option<Vec<String>>,
    /// Of `CUSTOM`.
    #[serde(default)]
    #[schema(min_items = 1)]
    actions: Option<Vec<String>>,
    /// Of `CUSTOM`.
    #[serde(default)]
    #[schema(min_items = 1)]
    resources: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(super) labels: LabelTexts,
    /// When it ends, in RFC 3339; where none is given, it does not.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub(super) expires_at: Option<String>,
}

impl CreateKey {
    /// Joins the type with the restrictions that it takes, and no others.
    pub(super) fn permission(&self, team: &TeamId, snapshot: &Snapshot) -> Result<Permission, Failure> {
        let refused = |field: &str| {
            Failure::invalid("restriction_not_taken", format_args!("keys of this type take no `{field}`"))
        };
        let none =
            |field: &str, value: &Option<Vec<String>>| if value.is_some() { Err(refused(field)) } else { Ok(()) };
        match self.r#type {
            KeyType::Personal => Err(Failure::invalid("restriction_not_taken", "a personal key has no team")),
            KeyType::WorkspaceManageAll => {
                none("model_ids", &self.model_ids)?;
                self.no_custom()?;
                Ok(Permission::full(scope("environments", self.environments.as_deref())?))
            }
            KeyType::WorkspaceInvoke => {
                self.no_custom()?;
                let environments = scope("environments", self.environments.as_deref())?;
                Ok(Permission::inference_only(environments, self.models(team, snapshot)?))
            }
            KeyType::WorkspaceExportMetrics => {
                none("environments", &self.environments)?;
                self.no_custom()?;
                Ok(Permission::metrics_only(self.models(team, snapshot)?))
            }
            KeyType::Custom => {
                none("model_ids", &self.model_ids)?;
                let Some(actions) = self.actions.as_deref() else {
                    return Err(Failure::invalid("actions_required", "a custom key lists its actions"));
                };
                let Scope::Only(actions) = scope("actions", Some(actions))? else {
                    return Err(Failure::invalid("actions_required", "a custom key lists its actions"));
                };
                let environments = scope("environments", self.environments.as_deref())?;
                let resources = scope("resources", self.resources.as_deref())?;
                Permission::custom(actions.iter().cloned(), environments, resources)
                    .map_err(|error| Failure::invalid("permission", error))
            }
        }
    }

    /// A personal key is as its user: it takes no restriction.
    pub(super) fn no_restriction(&self) -> Result<(), Failure> {
        if self.model_ids.is_some() || self.environments.is_some() || self.team_id.is_some() {
            return Err(Failure::invalid(
                "restriction_not_taken",
                "a personal key acts as its user, without restriction",
            ));
        }
        self.no_custom()
    }

    fn no_custom(&self) -> Result<(), Failure> {
        if self.actions.is_some() || self.resources.is_some() {
            return Err(Failure::invalid("restriction_not_taken", "only custom keys take `actions` and `resources`"));
        }
        Ok(())
    }

    /// A model that the team does not have is a mistake, and not a restriction.
    fn models(&self, team: &TeamId, snapshot: &Snapshot) -> Result<Scope<ModelId>, Failure> {
        let models: Scope<ModelId> = scope("model_ids", self.model_ids.as_deref())?;
        let mut members = models.members().into_iter().flat_map(|members| members.iter());
        match members.find(|model| snapshot.model(model).is_none_or(|model| model.team != *team)) {
            Some(_) => Err(Failure::invalid("unknown_model", "the team has no such model")),
            None => Ok(models),
        }
    }
}

/// None is all; an empty list is a mistake.
fn scope<T: FromStr<Err: core::fmt::Display> + AsRef<str> + Ord>(
    field: &'static str,
    members: Option<&[String]>,
) -> Result<Scope<T>, Failure> {
    let Some(members) = members else { return Ok(Scope::All) };
    let members = members.iter().map(|member| member.parse::<T>()).collect::<Result<Vec<_>, _>>();
    let members = members.map_err(|error| Failure::invalid(field, format_args!("`{field}`: {error}")))?;
    Scope::only(members).map_err(|error| Failure::invalid("empty_scope", format_args!("`{field}`: {error}")))
}

/// Labels as they come in. A map would silently take the last one of a name.
#[derive(Debug, Default)]
pub(crate) struct LabelTexts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for LabelTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = LabelTexts;

            fn expecting(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str("an object with texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelTexts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if texts.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate field"));
                    }
                }
                Ok(LabelTexts(texts))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

/// Reads labels.
pub(crate) fn labels(LabelTexts(texts): &LabelTexts) -> Result<Labels, Failure> {
    let mut labels = Vec::new();
    for (name, value) in texts {
        let wrong = |error| Failure::invalid("labels", format_args!("`labels`: {error}"));
        labels.push((name.parse().map_err(wrong)?, value.parse().map_err(wrong)?));
    }
    Labels::new(labels).map_err(|error| Failure::invalid("labels", format_args!("`labels`: {error}")))
}

/// Reads the part of a path that names a key: its id, or the public start of its tokens, which is of one kind.
pub(crate) async fn key_id(app: &App, text: &str) -> Result<KeyId, Failure> {
    let id: KeyId = text.rsplit_once('_').map_or(text, |(_, id)| id).parse().map_err(|_| Refusal::NotFound)?;
    if id.as_str() == text {
        return Ok(id);
    }
    let record = app.database.find(id).await?;
    if record.is_some_and(|record| prefix(&record) == text) { Ok(id) } else { Err(Refusal::NotFound.into()) }
}
