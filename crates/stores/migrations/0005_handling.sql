-- How people handle incidents: made again from the ledger's decisions.
CREATE TABLE handling (
    incident  TEXT   NOT NULL PRIMARY KEY,
    sequence  BIGINT NOT NULL,
    body      TEXT   NOT NULL
);
-- What people decided and isn't sealed yet, as the bytes that will be: it counts once it has a sequence number.
-- What was sealed or refused stays a while, so that a decision told twice counts once.
CREATE TABLE outbox (
    id        TEXT   NOT NULL PRIMARY KEY,
    written   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    sequence  BIGINT,
    refused   TEXT
);
CREATE INDEX outbox_waiting ON outbox (written) WHERE sequence IS NULL AND refused IS NULL;
