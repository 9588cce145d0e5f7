-- Projections of the ledger: every row carries the entry it reflects, and can be made again from it.
-- Times are microseconds since 1970 UTC; bodies are the sealed JSON.
CREATE TABLE reflects (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    entries  BIGINT  NOT NULL
);
CREATE TABLE source (
    id            TEXT   NOT NULL PRIMARY KEY,
    generation    TEXT   NOT NULL,
    offset_bytes  BIGINT NOT NULL
);
CREATE TABLE finding (
    id        TEXT   NOT NULL PRIMARY KEY,
    sequence  BIGINT NOT NULL,
    detected  BIGINT NOT NULL,
    first     BIGINT NOT NULL,
    last      BIGINT NOT NULL,
    body      TEXT   NOT NULL
);
CREATE INDEX finding_last ON finding (last);
CREATE TABLE incident (
    id        TEXT   NOT NULL PRIMARY KEY,
    sequence  BIGINT NOT NULL,
    first     BIGINT NOT NULL,
    last      BIGINT NOT NULL,
    body      TEXT   NOT NULL
);
CREATE INDEX incident_last ON incident (last);
