-- Who may use the console. Times are microseconds since 1970 UTC, zero where there is none; lists are JSON.
-- Nothing here can be made again from the ledger. Whoever reads it learns no password, no token and, without the
-- key beside the ledger, no second factor.
CREATE TABLE account (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    shown         TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    grants        TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    last_seen     BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    locked_until  BIGINT NOT NULL
);
-- What shows that somebody is an account's person: `password` and `totp` with the account's id as subject; one of
-- another system (`oidc`, a passkey) will have its own name there.
CREATE TABLE identity (
    kind      TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    account   TEXT   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    secret    TEXT   NOT NULL,
    previous  TEXT   NOT NULL,
    used      BIGINT NOT NULL,
    changed   BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX identity_account ON identity (account);
CREATE TABLE session (
    hash          TEXT   NOT NULL PRIMARY KEY,
    account       TEXT   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    factors       TEXT   NOT NULL,
    csrf          TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    seen          BIGINT NOT NULL,
    raised        TEXT   NOT NULL,
    raised_until  BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account);
-- For programs; `account` is empty where the command line made it.
CREATE TABLE api_token (
    hash       TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    account    TEXT   NOT NULL,
    grants     TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    last_used  BIGINT NOT NULL
);
-- `account` is empty in the very first one: its person chooses the name. `password` and `secret` wait here until the
-- second factor is confirmed.
CREATE TABLE invitation (
    hash      TEXT   NOT NULL PRIMARY KEY,
    account   TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    shown     TEXT   NOT NULL,
    grants    TEXT   NOT NULL,
    password  TEXT   NOT NULL,
    secret    TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
