-- Who is not among the users is deprovisioned; a user who is not a member of a team is an outsider there.
CREATE TABLE keygate_users (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

CREATE TABLE keygate_members (
    user_id TEXT NOT NULL REFERENCES keygate_users (id) ON DELETE CASCADE,
    team_id TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('admin', 'member', 'outsider')),
    PRIMARY KEY (user_id, team_id)
) STRICT;
