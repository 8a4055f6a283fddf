//! The statements. Both databases understand most of them, down to `$1` and RETURNING; the others are in a [`Dialect`].

use crate::row::columns;

/// Any conflict will do: the id's or the name's.
pub(crate) const INSERT: &str = concat!(
    "INSERT INTO keygate_keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
     $23, $24, $25) ON CONFLICT DO NOTHING RETURNING id"
);

pub(crate) const EXISTS: &str = "SELECT id FROM keygate_keys WHERE id = $1";

// The changes: the row is locked, and each writes the columns of its change alone. A trigger of the service's own can
// leave an update out, so what was written comes back.

pub(crate) const SET_NAME: &str = "UPDATE keygate_keys SET name = $2 WHERE id = $1 RETURNING id";

pub(crate) const SET_LABELS: &str = "UPDATE keygate_keys SET labels = $2 WHERE id = $1 RETURNING id";

pub(crate) const SET_STATUS: &str =
    "UPDATE keygate_keys SET status = $2, revoked_at = $3, revoked_cause = $4 WHERE id = $1 RETURNING id";

pub(crate) const SET_CURRENT: &str = "UPDATE keygate_keys SET current_digest = $2 WHERE id = $1 RETURNING id";

pub(crate) const SET_SECRETS: &str = "UPDATE keygate_keys SET current_digest = $2, \
     previous_digest = $3, previous_ends_at = $4, previous_last_used_at = $5 WHERE id = $1 RETURNING id";

pub(crate) const END_PREVIOUS: &str = "UPDATE keygate_keys SET \
     previous_digest = NULL, previous_ends_at = NULL, previous_last_used_at = NULL WHERE id = $1 RETURNING id";

/// In the order of the index of what is not ended, or another one might be taken, and all that is ended be gone
/// through.
pub(crate) const LEFT: &str =
    "SELECT id FROM keygate_keys WHERE owner_kind = $1 AND owner_id = $2 AND status <> 'revoked' ORDER BY id LIMIT 1";

pub(crate) const MAKE_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS keygate_schema \
     (part TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, oldest BIGINT NOT NULL)";

pub(crate) const SCHEMA: &str = "SELECT version, oldest FROM keygate_schema WHERE part = $1";

/// Writes even if nothing changes, so that the user cannot be deprovisioned before the transaction ends.
#[cfg(feature = "directory")]
pub(crate) const ADD_USER: &str =
    "INSERT INTO keygate_users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = excluded.id";

#[cfg(feature = "directory")]
pub(crate) const ADD_MEMBER: &str = "INSERT INTO keygate_members (user_id, team_id, role) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, team_id) DO UPDATE SET role = excluded.role";

#[cfg(feature = "directory")]
pub(crate) const REMOVE_USER: &str = "DELETE FROM keygate_users WHERE id = $1";

/// The memberships go with the user, unless an SQLite pool of the service's own has foreign keys switched off.
#[cfg(feature = "directory")]
pub(crate) const REMOVE_MEMBERS: &str = "DELETE FROM keygate_members WHERE user_id = $1";

/// Statements that the databases spell in ways of their own. Where many values come at once, `$1` is a list as JSON.
pub(crate) struct Dialect {
    /// Those that change nothing.
    pub(crate) reads: Reads,
    /// Keeps others from migrating meanwhile.
    pub(crate) lock_schema: &'static str,
    /// Finds a key, and locks it.
    pub(crate) lock: &'static str,
    /// Finds an owner's keys that are not revoked, in the order of their ids, and locks them.
    pub(crate) lock_due: &'static str,
    /// Revokes the keys of the ids in `$1`.
    pub(crate) revoke: &'static str,
    /// Counts up the revision, and keeps an event under each number, in the order of the list. The statements are run
    /// one after the other, each with the events; one of them returns a row for each event.
    pub(crate) log: &'static [&'static str],
    /// Moves last uses forward.
    pub(crate) touch: &'static str,
    /// Says to those who listen that a secret was ended or replaced.
    pub(crate) wake: Option<&'static str>,
    /// The schemas in which tables are searched.
    pub(crate) search_path: Option<&'static str>,
    /// Draws the life of the revision, and moves its number to the microseconds since 1970: by then no history had as
    /// many changes, so none that was given up has a number after it.
    pub(crate) draw_life: &'static str,
}

/// A statement that changes nothing.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) sql: &'static str,
    /// Its last value in PostgreSQL, which it compares with its own: a pooler that confuses the names of two clients'
    /// statements runs one with the values of another.
    #[cfg(feature = "postgres")]
    pub(crate) signature: &'static str,
}

/// Statements that read a page of the log in one order.
pub(crate) struct Events {
    pub(crate) all: Read,
    /// Of a time that has a beginning, an end or both.
    pub(crate) in_time: Read,
    pub(crate) by_key: Read,
    pub(crate) by_user: Read,
    pub(crate) of_key: Read,
    pub(crate) of_owner: Read,
}

/// Statements that change nothing. In PostgreSQL each has a guard, which fails where the answer may not be that of this
/// moment, whatever stands between us and the server.
pub(crate) struct Reads {
    pub(crate) find: Read,
    pub(crate) list_all: Read,
    pub(crate) list_by_creator: Read,
    pub(crate) list_by_owner: Read,
    pub(crate) oldest_first: Events,
    pub(crate) newest_first: Events,
    /// The revision, with the keys of the changes in a range of numbers, all as of one moment.
    pub(crate) changes: Read,
    pub(crate) schema: Read,
    #[cfg(feature = "directory")]
    pub(crate) user: Read,
    /// No row: no such user. An absent role: a user who is not in the team.
    #[cfg(feature = "directory")]
    pub(crate) membership: Read,
}

/// Makes a statement of what is before its guard and behind it; the guard has the number of the last value.
macro_rules! read {
    ($guard:ident, $last:literal, $name:expr, $before:expr, $behind:expr) => {
        Read {
            sql: concat!($before, $guard!($last, $name), $behind),
            #[cfg(feature = "postgres")]
            signature: concat!("keygate_", $name),
        }
    };
}

/// Fails on a standby, by a division by zero. Fails by the root of a negative number if the values are another
/// statement's, or if somebody left a transaction open in this session that goes on seeing what was there when it
/// began. Decided once for each statement, before a row is looked for.
#[cfg(feature = "postgres")]
macro_rules! guard_of_postgres {
    ($last:literal, $name:expr) => {
        concat!(
            "(SELECT sqrt(CASE WHEN $",
            $last,
            " <> 'keygate_",
            $name,
            "' OR current_setting('transaction_isolation') <> 'read committed' \
             AND (current_setting('transaction_isolation') <> current_setting('default_transaction_isolation') \
             OR now() < statement_timestamp() - interval '1 second') THEN -1 ELSE 1 END) \
             / CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END) = 1"
        )
    };
}

/// A file has no standby, and nothing stands before it.
#[cfg(feature = "sqlite")]
macro_rules! guard_of_sqlite {
    ($last:literal, $name:expr) => {
        "TRUE"
    };
}

/// The common parts of each list: the place that it begins after, the number of rows, the filter.
macro_rules! list {
    ($guard:ident, $last:literal, $name:literal, $keys_of:literal) => {
        read!(
            $guard,
            $last,
            $name,
            concat!("SELECT ", columns!(), " FROM keygate_keys WHERE "),
            concat!(
                " AND ",
                $keys_of,
                "(created_at, id) > ($1, $2) \
             AND ($4 IS NULL OR status = $4 OR $4 = 'not_revoked' AND status <> 'revoked') \
             AND ($5 = 0 OR last_used_at IS NULL) \
             AND ($6 IS NULL OR last_used_at IS NULL OR last_used_at < $6) \
             AND ($7 IS NULL OR expires_at < $7) \
             AND ($8 = 0 OR expires_at IS NULL) \
             AND ($9 = 0 OR substr(current_digest, 1, 1) <> $10 OR substr(previous_digest, 1, 1) <> $10) \
             ORDER BY created_at, id LIMIT $3"
            )
        )
    };
}

/// Where in the log the events of a time begin or end, by the index of times alone: they are not quite in the order of
/// their times. A plus keeps the databases from going through the log in its own order instead.
macro_rules! in_time {
    ($end:literal, $beyond:literal) => {
        concat!(
            "(SELECT ",
            $end,
            "(+sequence) FROM keygate_events WHERE at >= COALESCE($4, CAST('-9223372036854775808' AS BIGINT)) \
             AND at <= COALESCE($5, CAST('9223372036854775807' AS BIGINT)) AND +",
            $beyond,
            ")"
        )
    };
}

/// The common part of each page of the log.
macro_rules! events {
    ($guard:ident, $name:literal, $beyond:literal, $order:literal) => {
        Events {
            all: events!(@ $guard, 6, concat!($name, "_all"), "", $beyond, $order),
            in_time: events!(
                @ $guard,
                6,
                concat!($name, "_in_time"),
                concat!("sequence >= ", in_time!("min", $beyond), " AND sequence <= ", in_time!("max", $beyond), " AND +"),
                $beyond,
                $order
            ),
            by_key: events!(@ $guard, 7, concat!($name, "_by_key"), "actor_key = $6 AND ", $beyond, $order),
            by_user: events!(@ $guard, 7, concat!($name, "_by_user"), "actor_user = $6 AND ", $beyond, $order),
            of_key: events!(@ $guard, 7, concat!($name, "_of_key"), "key_id = $6 AND ", $beyond, $order),
            of_owner: events!(
                @ $guard,
                8,
                concat!($name, "_of_owner"),
                "owner_kind = $6 AND owner_id = $7 AND ",
                $beyond,
                $order
            ),
        }
    };
    (@ $guard:ident, $last:literal, $name:expr, $events_of:expr, $beyond:literal, $order:literal) => {
        read!(
            $guard,
            $last,
            $name,
            "SELECT sequence, event FROM keygate_events WHERE ",
            concat!(
                " AND ",
                $events_of,
                $beyond,
                " AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5) ORDER BY ",
                $order,
                " LIMIT $2"
            )
        )
    };
}

macro_rules! reads {
    ($guard:ident, $is_first_schema:literal) => {
        Reads {
            find: read!(
                $guard,
                2,
                "find",
                concat!("SELECT ", columns!(), " FROM keygate_keys WHERE "),
                " AND id = $1"
            ),
            list_all: list!($guard, 11, "list_all", ""),
            list_by_creator: list!($guard, 13, "list_by_creator", "creator_kind = $11 AND creator_id = $12 AND "),
            list_by_owner: list!($guard, 13, "list_by_owner", "owner_kind = $11 AND owner_id = $12 AND "),
            oldest_first: events!($guard, "oldest", "sequence > $1", "sequence"),
            newest_first: events!($guard, "newest", "sequence < $1", "sequence DESC"),
            changes: read!(
                $guard,
                3,
                "changes",
                "SELECT revision.life, revision.number, events.key_id FROM keygate_revision AS revision \
                 LEFT JOIN keygate_events AS events ON events.sequence > $1 AND events.sequence <= $2 WHERE ",
                ""
            ),
            schema: read!(
                $guard,
                2,
                "schema",
                "SELECT version, oldest FROM keygate_schema WHERE ",
                concat!($is_first_schema, " AND part = $1")
            ),
            #[cfg(feature = "directory")]
            user: read!($guard, 2, "user", "SELECT incarnation FROM keygate_users WHERE ", " AND id = $1"),
            #[cfg(feature = "directory")]
            membership: read!(
                $guard,
                3,
                "membership",
                "SELECT users.incarnation, members.role FROM keygate_users AS users \
                 LEFT JOIN keygate_members AS members ON members.user_id = users.id AND members.team_id = $2 WHERE ",
                " AND users.id = $1"
            ),
        }
    };
}

macro_rules! due {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM keygate_keys WHERE owner_kind = $1 AND owner_id = $2 AND status <> 'revoked' ORDER BY id LIMIT $3"
        )
    };
}

macro_rules! event_columns {
    () => {
        "INSERT INTO keygate_events \
         (sequence, id, at, kind, key_id, owner_kind, owner_id, actor_key, actor_user, event) SELECT "
    };
}

/// What is behind the sequence: the parts of an event.
macro_rules! event_values {
    () => {
        ", entry.value ->> 'id', CAST(entry.value ->> 'at' AS BIGINT), entry.value ->> 'kind', \
         entry.value ->> 'key_id', entry.value ->> 'owner_kind', entry.value ->> 'owner_id', \
         entry.value ->> 'actor_key', entry.value ->> 'actor_user', entry.value ->> 'event' "
    };
}

macro_rules! touch_values {
    () => {
        "SELECT entry.value ->> 'id' AS id, CAST(entry.value ->> 'used_at' AS BIGINT) AS used_at, \
         CAST(entry.value ->> 'due' AS BIGINT) AS due, \
         CAST(entry.value ->> 'previous_used_at' AS BIGINT) AS previous_used_at, \
         CAST(entry.value ->> 'previous_due' AS BIGINT) AS previous_due FROM "
    };
}

/// That a touch moves something by as much as is asked for: a row that would stay as it is, is not written.
macro_rules! moves {
    () => {
        " keys.id = touches.id AND keys.status <> 'revoked' AND (\
         keys.last_used_at IS NULL OR keys.last_used_at < touches.due \
         OR keys.previous_digest IS NOT NULL AND touches.previous_used_at IS NOT NULL AND (\
         keys.previous_last_used_at IS NULL OR keys.previous_last_used_at < touches.previous_due)) "
    };
}

/// What it moves, and only forward. A comparison with what is absent is not true.
macro_rules! moved {
    () => {
        " SET last_used_at = CASE WHEN keys.last_used_at >= touches.used_at \
         THEN keys.last_used_at ELSE touches.used_at END, \
         previous_last_used_at = CASE WHEN keys.previous_digest IS NULL OR touches.previous_used_at IS NULL \
         OR keys.previous_last_used_at >= touches.previous_used_at \
         THEN keys.previous_last_used_at ELSE touches.previous_used_at END "
    };
}

/// Rows are locked in the order of their ids, so that two statements that lock the same rows do not wait for each
/// other.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: Dialect = Dialect {
    // New tables are made in the first schema of the path. Those of another one may be another service's.
    reads: reads!(
        guard_of_postgres,
        " AND (SELECT relnamespace FROM pg_class WHERE oid = keygate_schema.tableoid) \
         = CAST(quote_ident(current_schema()) AS regnamespace)"
    ),
    lock_schema: "SELECT pg_advisory_xact_lock(8097868254139281509)",
    lock: concat!("SELECT ", columns!(), " FROM keygate_keys WHERE id = $1 FOR UPDATE"),
    lock_due: concat!(due!(), " FOR UPDATE"),
    revoke: "UPDATE keygate_keys SET status = $2, revoked_at = $3, revoked_cause = $4 \
         WHERE id IN (SELECT json_array_elements_text(CAST($1 AS JSON))) RETURNING id",
    log: &[concat!(
        // The length is taken twice, and not again for each event: the list may be long.
        "WITH revision AS (UPDATE keygate_revision SET number = number + json_array_length(CAST($1 AS JSON)) \
         RETURNING number - json_array_length(CAST($1 AS JSON)) AS before) ",
        event_columns!(),
        "revision.before + entry.place",
        event_values!(),
        "FROM revision, json_array_elements(CAST($1 AS JSON)) WITH ORDINALITY AS entry (value, place) \
         RETURNING sequence"
    )],
    touch: concat!(
        "WITH touches AS MATERIALIZED (",
        touch_values!(),
        "json_array_elements(CAST($1 AS JSON)) AS entry (value)), \
         locked AS MATERIALIZED (SELECT keys.id FROM keygate_keys AS keys, touches WHERE",
        moves!(),
        "ORDER BY keys.id FOR NO KEY UPDATE OF keys) \
         UPDATE keygate_keys AS keys",
        moved!(),
        "FROM touches, locked WHERE keys.id = locked.id AND",
        moves!()
    ),
    search_path: Some("SELECT current_setting('search_path')"),
    wake: Some("SELECT pg_notify('keygate_wake', '')"),
    draw_life: "UPDATE keygate_revision SET life = decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), \
         number = GREATEST(number, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)) \
         RETURNING life",
};

/// There is one writer at a time, so nothing is locked that is not.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: Dialect = Dialect {
    reads: reads!(guard_of_sqlite, ""),
    lock_schema: "SELECT 1",
    lock: concat!("SELECT ", columns!(), " FROM keygate_keys WHERE id = $1"),
    lock_due: due!(),
    revoke: "UPDATE keygate_keys SET status = $2, revoked_at = $3, revoked_cause = $4 \
         WHERE id IN (SELECT value FROM json_each($1)) RETURNING id",
    log: &[
        concat!(
            event_columns!(),
            "revision.number + 1 + entry.key",
            event_values!(),
            "FROM keygate_revision AS revision, json_each($1) AS entry WHERE TRUE RETURNING sequence"
        ),
        "UPDATE keygate_revision SET number = number + json_array_length($1)",
    ],
    touch: concat!(
        "WITH touches AS MATERIALIZED (",
        touch_values!(),
        "json_each($1) AS entry) UPDATE keygate_keys AS keys",
        moved!(),
        "FROM touches WHERE",
        moves!()
    ),
    search_path: None,
    wake: None,
    draw_life: "UPDATE keygate_revision SET life = randomblob(16), \
         number = max(number, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) RETURNING life",
};
