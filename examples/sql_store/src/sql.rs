//! The statements. Both databases understand each of them, down to `$1` and RETURNING.
//!
//! A change says in its own condition when it may take place, and returns a row exactly if it did.

use crate::row::columns;

pub(crate) const FIND: &str = concat!("SELECT ", columns!(), " FROM keygate_keys WHERE id = $1");

/// What the answers to the changes depend on.
pub(crate) const LOOK: &str = "SELECT status, revoked_at, current_digest FROM keygate_keys WHERE id = $1";

/// Any conflict will do: the id's or the name's.
pub(crate) const INSERT: &str = concat!(
    "INSERT INTO keygate_keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ",
    "ON CONFLICT DO NOTHING RETURNING id"
);

pub(crate) const RENAME: &str = "UPDATE keygate_keys SET name = $2 WHERE id = $1 AND status <> 'revoked' RETURNING id";

pub(crate) const DISABLE: &str =
    "UPDATE keygate_keys SET status = 'disabled' WHERE id = $1 AND status <> 'revoked' RETURNING id";

pub(crate) const ENABLE: &str =
    "UPDATE keygate_keys SET status = 'active' WHERE id = $1 AND status = 'disabled' RETURNING id";

/// The first time stays.
pub(crate) const REVOKE: &str = "UPDATE keygate_keys SET status = 'revoked', revoked_at = COALESCE(revoked_at, $2) \
     WHERE id = $1 RETURNING revoked_at";

/// The previous secret stays, as it is by now.
pub(crate) const ROTATE_KEEP: &str = "UPDATE keygate_keys SET current_digest = $3 \
     WHERE id = $1 AND status = 'active' AND current_digest = $2 RETURNING id";

pub(crate) const ROTATE_SET: &str = "UPDATE keygate_keys \
     SET current_digest = $3, previous_digest = $4, previous_ends_at = $5 \
     WHERE id = $1 AND status = 'active' AND current_digest = $2 RETURNING id";

pub(crate) const END_OVERLAP: &str = "UPDATE keygate_keys SET previous_digest = NULL, previous_ends_at = NULL \
     WHERE id = $1 AND status <> 'revoked' RETURNING id";

pub(crate) const TOUCH: &str = "UPDATE keygate_keys SET last_used_at = $2 \
     WHERE id = $1 AND status <> 'revoked' AND (last_used_at IS NULL OR last_used_at < $2) RETURNING id";

pub(crate) const LIST_BY_CREATOR: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keygate_keys WHERE creator_kind = $1 AND creator_id = $2 AND (created_at, id) > ($3, $4) ",
    "ORDER BY created_at, id LIMIT $5"
);

pub(crate) const LIST_BY_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keygate_keys WHERE owner_kind = $1 AND owner_id = $2 AND (created_at, id) > ($3, $4) ",
    "ORDER BY created_at, id LIMIT $5"
);

pub(crate) const OF_OWNER: &str =
    "SELECT id FROM keygate_keys WHERE owner_kind = $1 AND owner_id = $2 AND status <> 'revoked' ORDER BY id";

/// No row: no such user. An absent membership: a user who is not in the team.
pub(crate) const STANDING: &str = "SELECT members.membership FROM keygate_users AS users \
     LEFT JOIN keygate_members AS members ON members.user_id = users.id AND members.team_id = $2 WHERE users.id = $1";

/// Writes even where nothing changes, so that the user cannot be deprovisioned before the transaction ends.
pub(crate) const ADD_USER: &str =
    "INSERT INTO keygate_users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = excluded.id";

pub(crate) const ADD_MEMBER: &str = "INSERT INTO keygate_members (user_id, team_id, membership) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, team_id) DO UPDATE SET membership = excluded.membership";

/// The memberships go with the user.
pub(crate) const REMOVE_USER: &str = "DELETE FROM keygate_users WHERE id = $1";
