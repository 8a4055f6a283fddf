-- The collation "C" compares byte by byte; that of the database may take two ids for one, or sort them otherwise.
CREATE TABLE keygate_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT COLLATE "C" NOT NULL,
    owner_kind TEXT COLLATE "C" NOT NULL,
    owner_id TEXT COLLATE "C" NOT NULL,
    -- A personal key acts as its user and has neither level nor scope. A team key has all three, and what does not
    -- restrict says `all`: there is no absence that could be read as everything.
    level TEXT COLLATE "C" CHECK (level IN ('full', 'inference_only', 'metrics_only')),
    environments TEXT COLLATE "C" CHECK (environments = 'all' OR substr(environments, 1, 2) = '["'),
    models TEXT COLLATE "C" CHECK (models = 'all' OR substr(models, 1, 2) = '["'),
    created_at BIGINT NOT NULL,
    creator_kind TEXT COLLATE "C" NOT NULL CHECK (creator_kind IN ('system', 'user')),
    creator_id TEXT COLLATE "C" NOT NULL CHECK ((creator_id = '') = (creator_kind = 'system')),
    not_before BIGINT,
    expires_at BIGINT CHECK (expires_at > not_before),
    last_used_at BIGINT,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'disabled', 'revoked')),
    revoked_at BIGINT CHECK ((revoked_at IS NOT NULL) = (status = 'revoked')),
    -- The algorithm, and 28 bytes of hash.
    current_digest BYTEA NOT NULL CHECK (length(current_digest) = 29),
    previous_digest BYTEA CHECK (length(previous_digest) = 29),
    previous_ends_at BIGINT CHECK ((previous_ends_at IS NULL) = (previous_digest IS NULL)),
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
);

-- A revoked key gives its name back.
CREATE UNIQUE INDEX keygate_names ON keygate_keys (owner_kind, owner_id, name) WHERE status <> 'revoked';
CREATE INDEX keygate_keys_by_owner ON keygate_keys (owner_kind, owner_id, created_at, id);
CREATE INDEX keygate_keys_by_creator ON keygate_keys (creator_kind, creator_id, created_at, id);
