-- What the gateway keeps beside keys, events and users. In SQL that SQLite and PostgreSQL read.

-- One row once the first start is over.
CREATE TABLE IF NOT EXISTS gateway_setup (issuer TEXT NOT NULL PRIMARY KEY, ready_at BIGINT NOT NULL);

CREATE TABLE IF NOT EXISTS gateway_teams (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL);

-- How a user is called. Who may do what is in the directory.
CREATE TABLE IF NOT EXISTS gateway_users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    is_administrator BOOLEAN NOT NULL
);

CREATE TABLE IF NOT EXISTS gateway_models (
    id TEXT NOT NULL PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES gateway_teams (id),
    name TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS gateway_deployments (
    id TEXT NOT NULL PRIMARY KEY,
    model_id TEXT NOT NULL REFERENCES gateway_models (id)
);

-- Which deployment is in an environment of a model now.
CREATE TABLE IF NOT EXISTS gateway_environments (
    model_id TEXT NOT NULL REFERENCES gateway_models (id),
    name TEXT NOT NULL,
    deployment_id TEXT NOT NULL REFERENCES gateway_deployments (id),
    PRIMARY KEY (model_id, name)
);

CREATE TABLE IF NOT EXISTS gateway_async_requests (
    id TEXT NOT NULL PRIMARY KEY,
    deployment_id TEXT NOT NULL REFERENCES gateway_deployments (id),
    output TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS gateway_async_requests_by_time ON gateway_async_requests (created_at);

-- Claimed before a secret is minted, so that a request that is sent again mints none.
CREATE TABLE IF NOT EXISTS gateway_idempotency (
    actor TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    key_id TEXT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (actor, idempotency_key)
);

CREATE INDEX IF NOT EXISTS gateway_idempotency_by_time ON gateway_idempotency (created_at);

-- Sessions of the console, by the SHA-256 of their id, so that what is read here opens none.
CREATE TABLE IF NOT EXISTS gateway_sessions (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT,
    data TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS gateway_sessions_by_user ON gateway_sessions (user_id);

-- Links that sign a user in, by the SHA-256 of their token. One that was used is gone. One that an administrator made
-- opens for as long as they are one; those without a maker are the server's own.
CREATE TABLE IF NOT EXISTS gateway_sign_in_links (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    incarnation BIGINT NOT NULL,
    made_by TEXT,
    made_by_incarnation BIGINT CHECK ((made_by_incarnation IS NULL) = (made_by IS NULL)),
    expires_at BIGINT NOT NULL
);

-- The last refusals of each key, counted by what was asked; a bounded number for each.
CREATE TABLE IF NOT EXISTS gateway_refusals (
    key_id TEXT NOT NULL,
    what TEXT NOT NULL,
    times BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (key_id, what)
);
