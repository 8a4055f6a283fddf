CREATE TABLE IF NOT EXISTS keygate_schema (part TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, oldest BIGINT NOT NULL);

-- Who is not among the users is deprovisioned; a user who is not a member of a team is an outsider there.
CREATE TABLE keygate_users (
    -- Another one each time a user is provisioned: a sequence gives no number twice.
    incarnation BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE keygate_members (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES keygate_users (id) ON DELETE CASCADE,
    team_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'member', 'outsider')),
    PRIMARY KEY (user_id, team_id)
);

INSERT INTO keygate_schema (part, version, oldest) VALUES ('directory', 1, 1);
