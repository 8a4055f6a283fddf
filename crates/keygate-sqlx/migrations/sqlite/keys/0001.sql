-- What is there, and the oldest version of these tables that a release must know to work with them.
CREATE TABLE IF NOT EXISTS keygate_schema (part TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, oldest BIGINT NOT NULL);

-- TEXT compares byte by byte: BINARY is the collation unless another is asked for.
-- STRICT refuses values of other types.
CREATE TABLE keygate_keys (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND id NOT GLOB '*[^0-9A-Za-z]*'),
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL CHECK (substr(labels, 1, 1) = '{'),
    owner_kind TEXT NOT NULL CHECK (owner_kind IN ('personal', 'team')),
    owner_id TEXT NOT NULL,
    -- A personal key acts as its user and has none of these. A team key has a level, and what the level takes is
    -- spelled out: what does not restrict says `"all"`, so there is no absence that could be read as everything.
    level TEXT CHECK (level IN ('custom', 'full', 'inference_only', 'metrics_only')),
    actions TEXT CHECK (substr(actions, 1, 2) = '["'),
    environments TEXT CHECK (environments = '"all"' OR substr(environments, 1, 2) = '["'),
    models TEXT CHECK (models = '"all"' OR substr(models, 1, 2) = '["'),
    resources TEXT CHECK (resources = '"all"' OR substr(resources, 1, 2) = '["'),
    incarnation INTEGER CHECK (incarnation IS NULL OR owner_kind = 'personal'),
    created_at INTEGER NOT NULL,
    creator_kind TEXT NOT NULL CHECK (creator_kind IN ('system', 'user')),
    creator_id TEXT NOT NULL CHECK ((creator_id = '') = (creator_kind = 'system')),
    not_before INTEGER,
    expires_at INTEGER CHECK (expires_at > not_before),
    last_used_at INTEGER,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'revoked')),
    revoked_at INTEGER CHECK ((revoked_at IS NOT NULL) = (status = 'revoked')),
    revoked_cause TEXT CHECK ((revoked_cause IS NOT NULL) = (status = 'revoked')),
    -- The algorithm, and 28 bytes of hash.
    current_digest BLOB NOT NULL CHECK (length(current_digest) = 29),
    previous_digest BLOB CHECK (length(previous_digest) = 29),
    previous_ends_at INTEGER CHECK ((previous_ends_at IS NULL) = (previous_digest IS NULL)),
    previous_last_used_at INTEGER CHECK (previous_last_used_at IS NULL OR previous_digest IS NOT NULL),
    CHECK (previous_ends_at <= expires_at),
    CHECK ((level IS NOT NULL) = (owner_kind = 'team')),
    CHECK ((actions IS NOT NULL) = (COALESCE(level, '') = 'custom')),
    CHECK ((environments IS NOT NULL) = (COALESCE(level, '') IN ('custom', 'full', 'inference_only'))),
    CHECK ((models IS NOT NULL) = (COALESCE(level, '') IN ('inference_only', 'metrics_only'))),
    CHECK ((resources IS NOT NULL) = (COALESCE(level, '') = 'custom'))
) STRICT;

-- A revoked key gives its name back.
CREATE UNIQUE INDEX keygate_names ON keygate_keys (owner_kind, owner_id, name) WHERE status <> 'revoked';
-- Ends all keys of an owner in steps, which would otherwise go through all that are ended already, each time.
CREATE INDEX keygate_keys_to_end ON keygate_keys (owner_kind, owner_id, id) WHERE status <> 'revoked';
CREATE INDEX keygate_keys_by_creation ON keygate_keys (created_at, id);
CREATE INDEX keygate_keys_by_owner ON keygate_keys (owner_kind, owner_id, created_at, id);
CREATE INDEX keygate_keys_by_creator ON keygate_keys (creator_kind, creator_id, created_at, id);

-- The revision: one row, which each change updates and thereby locks until it commits. So the numbers of events are
-- in the order of the commits, and who sees a number sees all before it. In one life they have no gap.
CREATE TABLE keygate_revision (
    -- Says which history the numbers are of. It has to be drawn again when a backup is restored, and the number to leap.
    life BLOB NOT NULL CHECK (length(life) = 16),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO keygate_revision (life, number) VALUES (randomblob(16), 0);

-- The events of the changes, each written in the transaction of its change. No statement changes or deletes one.
CREATE TABLE keygate_events (
    -- The number of the revision that the change made.
    sequence INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key_id TEXT NOT NULL CHECK (length(key_id) = 16 AND key_id NOT GLOB '*[^0-9A-Za-z]*'),
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    -- The key that acted, and the user who acted, be it by a key.
    actor_key TEXT,
    actor_user TEXT,
    -- The whole event as JSON; the other columns repeat parts of it.
    event TEXT NOT NULL
) STRICT;

CREATE INDEX keygate_events_of_key ON keygate_events (key_id, sequence);
CREATE INDEX keygate_events_of_owner ON keygate_events (owner_kind, owner_id, sequence);
CREATE INDEX keygate_events_by_key ON keygate_events (actor_key, sequence) WHERE actor_key IS NOT NULL;
CREATE INDEX keygate_events_by_user ON keygate_events (actor_user, sequence) WHERE actor_user IS NOT NULL;
CREATE INDEX keygate_events_by_time ON keygate_events (at, sequence);

INSERT INTO keygate_schema (part, version, oldest) VALUES ('keys', 1, 1);
