-- What no two unfinished jobs of a kind may claim at once: a feed's name.
CREATE TABLE claims (
    kind   TEXT NOT NULL,
    claim  TEXT NOT NULL,
    -- Who holds it and up to when; NULL once it was given back.
    job_id TEXT,
    until  INTEGER,
    -- The newest tick that was fired for it.
    slot   INTEGER,
    PRIMARY KEY (kind, claim)
) STRICT, WITHOUT ROWID;
