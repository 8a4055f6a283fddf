-- TEXT compares byte by byte: BINARY is the collation unless another is asked for.
-- STRICT refuses values of other types.
CREATE TABLE keygate_keys (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    -- A personal key acts as its user and has neither level nor scope. A team key has all three, and what does not
    -- restrict says `all`: there is no absence that could be read as everything.
    level TEXT CHECK (level IN ('full', 'inference_only', 'metrics_only')),
    environments TEXT CHECK (environments = 'all' OR substr(environments, 1, 2) = '["'),
    models TEXT CHECK (models = 'all' OR substr(models, 1, 2) = '["'),
    created_at INTEGER NOT NULL,
    creator_kind TEXT NOT NULL CHECK (creator_kind IN ('system', 'user')),
    creator_id TEXT NOT NULL CHECK ((creator_id = '') = (creator_kind = 'system')),
    not_before INTEGER,
    expires_at INTEGER CHECK (expires_at > not_before),
    last_used_at INTEGER,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'revoked')),
    revoked_at INTEGER CHECK ((revoked_at IS NOT NULL) = (status = 'revoked')),
    -- The algorithm, and 28 bytes of hash.
    current_digest BLOB NOT NULL CHECK (length(current_digest) = 29),
    previous_digest BLOB CHECK (length(previous_digest) = 29),
    previous_ends_at INTEGER CHECK ((previous_ends_at IS NULL) = (previous_digest IS NULL)),
    CHECK (previous_ends_at <= expires_at),
    CHECK (
        CASE owner_kind
            WHEN 'personal' THEN level IS NULL AND environments IS NULL AND models IS NULL
            WHEN 'team' THEN level IS NOT NULL AND environments IS NOT NULL AND models IS NOT NULL
            ELSE FALSE
        END
    ),
    CHECK (level <> 'full' OR models = 'all'),
    CHECK (level <> 'metrics_only' OR environments = 'all')
) STRICT;

-- A revoked key gives its name back.
CREATE UNIQUE INDEX keygate_names ON keygate_keys (owner_kind, owner_id, name) WHERE status <> 'revoked';
CREATE INDEX keygate_keys_by_owner ON keygate_keys (owner_kind, owner_id, created_at, id);
CREATE INDEX keygate_keys_by_creator ON keygate_keys (creator_kind, creator_id, created_at, id);
