//! Between a record and a row: both directions go through the columns in the order of `columns!`.

use core::{error::Error, str::FromStr};

use keygate::{
    EnvironmentScope, Grant, Incarnation, Issuer, KeyKind, KeyRecord, Labels, Owner, Permission, RevocationCause,
    Status,
    store::{Creator, PermissionParts, PreviousSecret, RecordParts, SecretDigest},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::CorruptRow,
    query::{Columns, Query, Row},
};

/// All columns of a record, in the order that this module writes and reads them in.
macro_rules! columns {
    () => {
        "id, owner_kind, owner_id, status, revoked_at, revoked_cause, issuer, name, labels, \
         level, actions, environments, models, resources, incarnation, created_at, creator_kind, creator_id, \
         not_before, expires_at, last_used_at, \
         current_digest, previous_digest, previous_ends_at, previous_last_used_at"
    };
}

pub(crate) use columns;

/// Binds each column.
pub(crate) fn write(query: Query, record: KeyRecord) -> Result<Query, CorruptRow> {
    let owner = record.grant().owner();
    let RecordParts {
        issuer,
        id,
        name,
        labels,
        grant,
        incarnation,
        created_at,
        created_by,
        not_before,
        expires_at,
        last_used_at,
        status,
        current,
        previous,
    } = record.into();
    let query = write_status(write_owner(query.with(id), &owner), status);
    let query = query.with(issuer.as_str()).with(name.as_str()).with(write_json(&labels, "labels")?);
    let query = write_permission(query, grant.permission())?.with(incarnation.map(Incarnation::get));
    let query = write_creator(query.with(created_at), &created_by);
    let query = query.with(not_before).with(expires_at).with(last_used_at);
    Ok(write_previous(query.with(current), previous))
}

/// Reads each column, and checks that they fit together.
pub(crate) fn read(row: &mut Columns<'_>) -> Result<KeyRecord, CorruptRow> {
    let id = parse(row.text("id")?, "id")?;
    let owner = read_owner(row)?;
    let parts = RecordParts {
        id,
        status: read_status(row)?,
        issuer: parse(row.text("issuer")?, "issuer")?,
        name: parse(row.text("name")?, "name")?,
        labels: read_json(row.text("labels")?, "labels")?,
        grant: read_grant(row, owner)?,
        incarnation: row.optional_integer("incarnation")?.map(Incarnation::new),
        created_at: row.time("created_at")?,
        created_by: read_creator(row)?,
        not_before: row.optional_time("not_before")?,
        expires_at: row.optional_time("expires_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        current: row.digest("current_digest")?,
        previous: read_previous(row)?,
    };
    parts.try_into().map_err(CorruptRow::because("owner_kind, incarnation, not_before, expires_at, previous_ends_at"))
}

/// A record as it is stored, or why the row is not a record.
pub(crate) struct Stored {
    /// Of a row that is no record, only the id, the owner and whether it is revoked are what is stored: enough to end
    /// the key, and for the event of that.
    pub(crate) record: KeyRecord,
    pub(crate) fault: Option<CorruptRow>,
}

impl Stored {
    /// Reads a row that is to be changed.
    pub(crate) fn read(row: &Row) -> Result<Self, CorruptRow> {
        match row.read(read) {
            Ok(record) => Ok(Self { record, fault: None }),
            Err(fault) => match row.read(read_remains) {
                Ok(record) => Ok(Self { record, fault: Some(fault) }),
                Err(_) => Err(fault),
            },
        }
    }
}

fn read_remains(row: &mut Columns<'_>) -> Result<KeyRecord, CorruptRow> {
    let id = parse(row.text("id")?, "id")?;
    let grant = match read_owner(row)? {
        Owner::Personal(user) => Grant::personal(user),
        Owner::Team(team) => Grant::team(team, Permission::full(EnvironmentScope::All)),
        _ => return Err(CorruptRow::new("owner_kind")),
    };
    let is_revoked = row.text("status").is_ok_and(|status| status == REVOKED);
    let revoked = Status::Revoked { at: keygate::UnixTime::MIN, cause: RevocationCause::Requested };
    let mut digest = [0; SecretDigest::LENGTH];
    digest[0] = 1;
    let parts = RecordParts {
        issuer: Issuer::from_static("nobody"),
        id,
        name: parse("no-record", "name")?,
        labels: Labels::NONE,
        grant,
        incarnation: None,
        created_at: keygate::UnixTime::MIN,
        created_by: Creator::System,
        not_before: None,
        expires_at: None,
        last_used_at: None,
        status: if is_revoked { revoked } else { Status::Active },
        current: SecretDigest::from_bytes(digest).map_err(CorruptRow::because("current_digest"))?,
        previous: None,
    };
    parts.try_into().map_err(CorruptRow::because("id"))
}

/// Binds the columns of a key's owner.
pub(crate) fn write_owner(query: Query, owner: &Owner) -> Query {
    write_pair(query, &owner.to_string())
}

fn read_owner(row: &mut Columns<'_>) -> Result<Owner, CorruptRow> {
    let kind = parse(row.text("owner_kind")?, "owner_kind")?;
    let id = row.text("owner_id")?;
    match kind {
        KeyKind::Personal => parse(id, "owner_id").map(Owner::Personal),
        KeyKind::Team => parse(id, "owner_id").map(Owner::Team),
    }
}

/// Binds the columns of a key's creator. The system's id is empty, which no user's is, and so can be compared.
pub(crate) fn write_creator(query: Query, creator: &Creator) -> Query {
    write_pair(query, &creator.to_string())
}

fn read_creator(row: &mut Columns<'_>) -> Result<Creator, CorruptRow> {
    const COLUMNS: &str = "creator_kind, creator_id";
    let (kind, id) = (row.text("creator_kind")?, row.text("creator_id")?);
    if id.is_empty() { parse(kind, COLUMNS) } else { parse(&format!("{kind}:{id}"), COLUMNS) }
}

/// Binds the parts before and after the first colon.
fn write_pair(query: Query, text: &str) -> Query {
    let (kind, id) = text.split_once(':').unwrap_or((text, ""));
    query.with(kind).with(id)
}

/// Binds the columns of a key's status.
pub(crate) fn write_status(query: Query, status: Status) -> Query {
    let (status, revoked) = match status {
        Status::Active => (ACTIVE, None),
        Status::Disabled => (DISABLED, None),
        Status::Revoked { at, cause } => (REVOKED, Some((at, cause.to_string()))),
    };
    let (at, cause) = revoked.unzip();
    query.with(status).with(at).with(cause)
}

fn read_status(row: &mut Columns<'_>) -> Result<Status, CorruptRow> {
    let (status, at) = (row.text("status")?, row.optional_time("revoked_at")?);
    match (status, at, row.optional_text("revoked_cause")?) {
        (ACTIVE, None, None) => Ok(Status::Active),
        (DISABLED, None, None) => Ok(Status::Disabled),
        (REVOKED, Some(at), Some(cause)) => Ok(Status::Revoked { at, cause: parse(cause, "revoked_cause")? }),
        _ => Err(CorruptRow::new("status, revoked_at, revoked_cause")),
    }
}

fn write_permission(query: Query, permission: Option<&Permission>) -> Result<Query, CorruptRow> {
    let Some(permission) = permission else {
        return Ok((0..5).fold(query, |query, _| query.with(None::<String>)));
    };
    let PermissionParts { level, actions, environments, models, resources } = permission.clone().into();
    Ok(query
        .with(level.as_str())
        .with(actions.map(|actions| write_json(&actions, "actions")).transpose()?)
        .with(environments.map(|scope| write_json(&scope, "environments")).transpose()?)
        .with(models.map(|scope| write_json(&scope, "models")).transpose()?)
        .with(resources.map(|scope| write_json(&scope, "resources")).transpose()?))
}

fn read_grant(row: &mut Columns<'_>, owner: Owner) -> Result<Grant, CorruptRow> {
    const COLUMNS: &str = "owner_kind, level, actions, environments, models, resources";
    let level = row.optional_text("level")?.map(|level| parse(level, "level")).transpose()?;
    let actions = read_optional_json(row, "actions")?;
    let environments = read_optional_json(row, "environments")?;
    let models = read_optional_json(row, "models")?;
    let resources = read_optional_json(row, "resources")?;
    match (owner, level) {
        (Owner::Team(team), Some(level)) => {
            let parts = PermissionParts { level, actions, environments, models, resources };
            Ok(Grant::team(team, parts.try_into().map_err(CorruptRow::because(COLUMNS))?))
        }
        (Owner::Personal(user), None)
            if actions.is_none() && environments.is_none() && models.is_none() && resources.is_none() =>
        {
            Ok(Grant::personal(user))
        }
        _ => Err(CorruptRow::new(COLUMNS)),
    }
}

/// Binds the columns of the previous secret.
pub(crate) fn write_previous(query: Query, previous: Option<PreviousSecret>) -> Query {
    query
        .with(previous.map(|previous| previous.digest))
        .with(previous.map(|previous| previous.ends_at))
        .with(previous.and_then(|previous| previous.last_used_at))
}

fn read_previous(row: &mut Columns<'_>) -> Result<Option<PreviousSecret>, CorruptRow> {
    let (digest, ends_at) = (row.optional_digest("previous_digest")?, row.optional_time("previous_ends_at")?);
    match (digest, ends_at, row.optional_time("previous_last_used_at")?) {
        (None, None, None) => Ok(None),
        (Some(digest), Some(ends_at), last_used_at) => Ok(Some(PreviousSecret { digest, ends_at, last_used_at })),
        _ => Err(CorruptRow::new("previous_digest, previous_ends_at, previous_last_used_at")),
    }
}

/// Parses the text of a column.
pub(crate) fn parse<T>(text: &str, column: &'static str) -> Result<T, CorruptRow>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    text.parse().map_err(CorruptRow::because(column))
}

/// Writes what is kept as JSON, in the form that the library gives it.
pub(crate) fn write_json<T: Serialize>(value: &T, column: &'static str) -> Result<String, CorruptRow> {
    serde_json::to_string(value).map_err(CorruptRow::because(column))
}

/// Reads what is kept as JSON.
pub(crate) fn read_json<T: DeserializeOwned>(text: &str, column: &'static str) -> Result<T, CorruptRow> {
    serde_json::from_str(text).map_err(CorruptRow::because(column))
}

fn read_optional_json<T: DeserializeOwned>(
    row: &mut Columns<'_>,
    column: &'static str,
) -> Result<Option<T>, CorruptRow> {
    row.optional_text(column)?.map(|text| read_json(text, column)).transpose()
}

const ACTIVE: &str = "active";
const DISABLED: &str = "disabled";
const REVOKED: &str = "revoked";
