-- The revision: one row, which each change updates and thereby locks until it commits. So the numbers of events are
-- in the order of the commits, without a gap, and who sees a number sees all before it.
CREATE TABLE keygate_revision (
    -- Says which history the numbers are of. It has to be drawn again when a backup is restored.
    life BYTEA NOT NULL CHECK (length(life) = 16),
    number BIGINT NOT NULL
);

INSERT INTO keygate_revision (life, number) VALUES (decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), 0);

-- The events of the changes, each written in the transaction of its change. No statement changes or deletes one.
CREATE TABLE keygate_events (
    -- The number of the revision that the change made.
    sequence BIGINT NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    owner_kind TEXT COLLATE "C" NOT NULL,
    owner_id TEXT COLLATE "C" NOT NULL,
    -- The key that acted, and the user who acted, be it by a key.
    actor_key TEXT COLLATE "C",
    actor_user TEXT COLLATE "C",
    -- The whole event as JSON; the other columns repeat parts of it.
    event TEXT COLLATE "C" NOT NULL
);
