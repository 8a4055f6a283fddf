-- The revision: one row, which each change updates and thereby locks until it commits. So the numbers of events are
-- in the order of the commits, without a gap, and who sees a number sees all before it.
CREATE TABLE keygate_revision (
    -- Says which history the numbers are of. It has to be drawn again when a backup is restored.
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
    key_id TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    -- The key that acted, and the user who acted, be it by a key.
    actor_key TEXT,
    actor_user TEXT,
    -- The whole event as JSON; the other columns repeat parts of it.
    event TEXT NOT NULL
) STRICT;
