//! Between a record and a row: both directions go through the columns in the order of `columns!`.

use core::{error::Error, str::FromStr};

use keygate::{
    Creator, EnvironmentScope, Grant, InvalidScope, KeyKind, KeyRecord, ModelScope, Owner, Permission, PermissionLevel,
    PreviousSecret, RecordParts, Scope, Status,
};
use serde_json::Value as Json;

use crate::{
    error::CorruptRow,
    query::{Query, Row},
};

/// All columns of a record, in the order in which this module writes and reads them.
macro_rules! columns {
    () => {
        "id, name, owner_kind, owner_id, level, environments, models, created_at, creator_kind, creator_id, \
         not_before, expires_at, last_used_at, status, revoked_at, current_digest, previous_digest, previous_ends_at"
    };
}

pub(crate) use columns;

/// Binds each column.
pub(crate) fn write(query: Query, record: KeyRecord) -> Query {
    let RecordParts {
        id,
        name,
        grant,
        created_at,
        created_by,
        not_before,
        expires_at,
        last_used_at,
        status,
        current,
        previous,
    } = record.into();
    let owner = grant.owner();
    let ((owner_kind, owner_id), (creator_kind, creator_id)) = (owner_columns(&owner), creator_columns(&created_by));
    let permission = grant.permission();
    let (status, revoked_at) = match status {
        Status::Active => (ACTIVE, None),
        Status::Disabled => (DISABLED, None),
        Status::Revoked { at } => (REVOKED, Some(at)),
    };
    query
        .with(id)
        .with(name.as_str())
        .with(owner_kind)
        .with(owner_id)
        .with(permission.map(|permission| permission.level().to_string()))
        .with(permission.map(|permission| write_scope(permission.environments())))
        .with(permission.map(|permission| write_scope(permission.models())))
        .with(created_at)
        .with(creator_kind)
        .with(creator_id)
        .with(not_before)
        .with(expires_at)
        .with(last_used_at)
        .with(status)
        .with(revoked_at)
        .with(current)
        .with(previous.map(|previous| previous.digest))
        .with(previous.map(|previous| previous.ends_at))
}

/// Reads each column, and checks what they say together.
pub(crate) fn read(row: &mut Row) -> Result<KeyRecord, CorruptRow> {
    let parts = RecordParts {
        id: parse(&row.text("id")?, "id")?,
        name: parse(&row.text("name")?, "name")?,
        grant: read_grant(row)?,
        created_at: row.time("created_at")?,
        created_by: read_creator(row)?,
        not_before: row.optional_time("not_before")?,
        expires_at: row.optional_time("expires_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        status: read_status(row)?,
        current: row.digest("current_digest")?,
        previous: read_previous(row)?,
    };
    parts.try_into().map_err(CorruptRow::because("not_before, expires_at, previous_ends_at"))
}

/// The columns that say whose a key is.
pub(crate) fn owner_columns(owner: &Owner) -> (&'static str, &str) {
    let id = match owner {
        Owner::Personal(user) => user.as_str(),
        Owner::Team(team) => team.as_str(),
    };
    (owner.kind().as_str(), id)
}

/// The columns that say who created a key. The system's id is empty, which no user's is, and so can be compared.
pub(crate) fn creator_columns(creator: &Creator) -> (&'static str, &str) {
    match creator {
        Creator::System => (OPERATOR, ""),
        Creator::User(user) => (USER, user.as_str()),
    }
}

/// Reads the columns `status` and `revoked_at`.
pub(crate) fn read_status(row: &mut Row) -> Result<Status, CorruptRow> {
    match (row.text("status")?.as_str(), row.optional_time("revoked_at")?) {
        (ACTIVE, None) => Ok(Status::Active),
        (DISABLED, None) => Ok(Status::Disabled),
        (REVOKED, Some(at)) => Ok(Status::Revoked { at }),
        _ => Err(CorruptRow::new("status, revoked_at")),
    }
}

/// Parses the text of a column.
pub(crate) fn parse<T>(text: &str, column: &'static str) -> Result<T, CorruptRow>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    text.parse().map_err(CorruptRow::because(column))
}

fn read_grant(row: &mut Row) -> Result<Grant, CorruptRow> {
    let kind = parse(&row.text("owner_kind")?, "owner_kind")?;
    let id = row.text("owner_id")?;
    let level = row.optional_text("level")?;
    let environments = row.optional_text("environments")?;
    let models = row.optional_text("models")?;
    match (kind, level, environments, models) {
        (KeyKind::Personal, None, None, None) => Ok(Grant::Personal { user: parse(&id, "owner_id")? }),
        (KeyKind::Team, Some(level), Some(environments), Some(models)) => Ok(Grant::Team {
            team: parse(&id, "owner_id")?,
            permission: read_permission(&level, &environments, &models)?,
        }),
        _ => Err(CorruptRow::new("owner_kind, level, environments, models")),
    }
}

fn read_permission(level: &str, environments: &str, models: &str) -> Result<Permission, CorruptRow> {
    let environments = read_scope(environments, EnvironmentScope::only, "environments")?;
    let models = read_scope(models, ModelScope::only, "models")?;
    match (parse(level, "level")?, environments, models) {
        (PermissionLevel::Full, environments, Scope::All) => Ok(Permission::Full { environments }),
        (PermissionLevel::InferenceOnly, environments, models) => {
            Ok(Permission::InferenceOnly { environments, models })
        }
        (PermissionLevel::MetricsOnly, Scope::All, models) => Ok(Permission::MetricsOnly { models }),
        // A restriction that the level does not take, or a level that came later: neither is to be guessed.
        _ => Err(CorruptRow::new("level, environments, models")),
    }
}

fn write_scope<T: AsRef<str>>(scope: &Scope<T>) -> String {
    match scope {
        Scope::All => ALL.into(),
        Scope::Only(set) => set.iter().map(AsRef::as_ref).collect::<Json>().to_string(),
    }
}

fn read_scope<T>(
    text: &str,
    only: impl FnOnce(Vec<T>) -> Result<Scope<T>, InvalidScope>,
    column: &'static str,
) -> Result<Scope<T>, CorruptRow>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    if text == ALL {
        return Ok(Scope::All);
    }
    let members: Vec<String> = serde_json::from_str(text).map_err(CorruptRow::because(column))?;
    let members = members.iter().map(|member| parse(member, column)).collect::<Result<_, _>>()?;
    only(members).map_err(CorruptRow::because(column))
}

fn read_creator(row: &mut Row) -> Result<Creator, CorruptRow> {
    match (row.text("creator_kind")?.as_str(), row.text("creator_id")?.as_str()) {
        (OPERATOR, "") => Ok(Creator::System),
        (USER, id) => Ok(Creator::User(parse(id, "creator_id")?)),
        _ => Err(CorruptRow::new("creator_kind, creator_id")),
    }
}

fn read_previous(row: &mut Row) -> Result<Option<PreviousSecret>, CorruptRow> {
    match (row.optional_digest("previous_digest")?, row.optional_time("previous_ends_at")?) {
        (None, None) => Ok(None),
        (Some(digest), Some(ends_at)) => Ok(Some(PreviousSecret { digest, ends_at })),
        _ => Err(CorruptRow::new("previous_digest, previous_ends_at")),
    }
}

const ACTIVE: &str = "active";
const DISABLED: &str = "disabled";
const REVOKED: &str = "revoked";
const OPERATOR: &str = "system";
const USER: &str = "user";
const ALL: &str = "all";
