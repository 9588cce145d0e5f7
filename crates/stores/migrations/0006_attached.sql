-- Content of files that people attach, on its way into the ledger: with a row of the outbox, gone once that is sealed or refused.
CREATE TABLE upload (
    id    TEXT NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
);
-- How much of an incident somebody saw who watches it: decisions, and findings.
CREATE TABLE looked (
    account    TEXT   NOT NULL,
    incident   TEXT   NOT NULL,
    decisions  BIGINT NOT NULL,
    findings   BIGINT NOT NULL,
    PRIMARY KEY (account, incident)
);
