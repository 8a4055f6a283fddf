//! What comes in and goes out as JSON.

use core::num::NonZeroU16;

use keygate::{
    EnvironmentScope, Grant, KeyId, KeyRecord, Labels, ModelScope, Permission, PermissionLevel, Rotation, Status,
    UnixTime,
    store::{Creator, Cursor, ListQuery},
    verify::DisplayToken,
};
use serde::{Deserialize, Serialize};

/// What a list shows of a key: nothing that could open it.
#[derive(Debug, Serialize)]
pub(super) struct KeyView<'a> {
    id: KeyId,
    display: String,
    name: &'a str,
    labels: &'a Labels,
    grant: &'a Grant,
    status: Status,
    created_at: UnixTime,
    created_by: &'a Creator,
    not_before: Option<UnixTime>,
    expires_at: Option<UnixTime>,
    last_used_at: Option<UnixTime>,
    previous_ends_at: Option<UnixTime>,
}

impl<'a> KeyView<'a> {
    pub(super) fn of(record: &'a KeyRecord) -> Self {
        Self {
            id: record.id(),
            display: DisplayToken::new(record.issuer(), record.kind(), record.id()).to_string(),
            name: record.name().as_str(),
            labels: record.labels(),
            grant: record.grant(),
            status: record.status(),
            created_at: record.created_at(),
            created_by: record.created_by(),
            not_before: record.validity().not_before(),
            expires_at: record.validity().expires_at(),
            last_used_at: record.last_used_at(),
            previous_ends_at: record.previous().map(|previous| previous.ends_at),
        }
    }
}

/// A team key that is asked for. Nothing has a default: the one who makes a key says what it may do and when it ends.
///
/// ```json
/// {"name": "ci", "level": "inference_only", "environments": ["production"], "models": "all", "expires_at": null}
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTeamKey {
    pub(super) name: String,
    level: PermissionLevel,
    environments: Option<EnvironmentScope>,
    models: Option<ModelScope>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) expires_at: Option<UnixTime>,
}

impl NewTeamKey {
    /// Joins the level with the restrictions that it takes, all of them and no others.
    pub(super) fn permission(&self) -> Result<Permission, &'static str> {
        match (self.level, self.environments.clone(), self.models.clone()) {
            (PermissionLevel::Full, Some(environments), None) => Ok(Permission::full(environments)),
            (PermissionLevel::InferenceOnly, Some(environments), Some(models)) => {
                Ok(Permission::inference_only(environments, models))
            }
            (PermissionLevel::MetricsOnly, None, Some(models)) => Ok(Permission::metrics_only(models)),
            _ => Err("`full` takes environments, `inference_only` environments and models, `metrics_only` models"),
        }
    }
}

/// A personal key that is asked for: it acts as its user, so it takes neither level nor scope.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPersonalKey {
    pub(super) name: String,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) expires_at: Option<UnixTime>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewName {
    pub(super) name: String,
}

/// `{"rotation": "start", "overlap_seconds": 3600}`, the same with `retry`, or `{"rotation": "cut_over"}`.
#[derive(Debug, Deserialize)]
#[serde(tag = "rotation", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RotateBody {
    CutOver {},
    Retry { overlap_seconds: u64 },
    Start { overlap_seconds: u64 },
}

impl RotateBody {
    pub(super) const fn rotation(&self) -> Rotation {
        use core::time::Duration;
        match self {
            Self::CutOver {} => Rotation::CutOver,
            Self::Retry { overlap_seconds } => Rotation::Retry { overlap: Duration::from_secs(*overlap_seconds) },
            Self::Start { overlap_seconds } => Rotation::Start { overlap: Duration::from_secs(*overlap_seconds) },
        }
    }
}

/// Which page of a list: `?limit=50`, and `&after=` what the page before gave as `next`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    limit: Option<NonZeroU16>,
    after: Option<Cursor>,
}

impl Place {
    pub(super) fn query(&self) -> ListQuery {
        let mut query = ListQuery::new();
        query.after = self.after;
        query.limit = self.limit.unwrap_or(query.limit);
        query
    }
}
