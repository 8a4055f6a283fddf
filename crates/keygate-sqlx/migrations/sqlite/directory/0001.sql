CREATE TABLE IF NOT EXISTS keygate_schema (part TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, oldest BIGINT NOT NULL);

-- Who is not among the users is deprovisioned; a user who is not a member of a team is an outsider there.
CREATE TABLE keygate_users (
    -- Another one each time a user is provisioned: AUTOINCREMENT gives no number twice.
    incarnation INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE keygate_members (
    user_id TEXT NOT NULL REFERENCES keygate_users (id) ON DELETE CASCADE,
    team_id TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'outsider')),
    PRIMARY KEY (user_id, team_id)
) STRICT;

INSERT INTO keygate_schema (part, version, oldest) VALUES ('directory', 1, 1);
