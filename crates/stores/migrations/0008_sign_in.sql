-- What a token is for: empty for what the console shows and does, `directory` for one that provisions people and does
-- nothing else.
ALTER TABLE api_token ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
-- Public keys of people's authenticators; `id` is the credential's, hexadecimal. What a directory says of somebody is an
-- `identity` of kind `directory` with the account's id as subject, who they are at a provider one of kind `oidc` with the
-- provider's issuer and subject.
CREATE TABLE passkey (
    id         TEXT   NOT NULL PRIMARY KEY,
    account    TEXT   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name       TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    last_used  BIGINT NOT NULL
);
CREATE INDEX passkey_account ON passkey (account);
-- What was begun in one browser and has to come back to it within minutes, once: by the hash of what that browser keeps.
CREATE TABLE ceremony (
    hash     TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    account  TEXT   NOT NULL,
    body     TEXT   NOT NULL,
    created  BIGINT NOT NULL
);
CREATE INDEX ceremony_created ON ceremony (created);
