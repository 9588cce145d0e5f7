-- The token by which a token was made: the one ends with the other. Empty where a person made it.
ALTER TABLE api_token ADD COLUMN parent TEXT NOT NULL DEFAULT '';
-- What programs asked under a key of theirs and were answered, so that asked twice it is done once: hashes of account and key,
-- and of what was asked; the answer is empty until it is known, and never holds what is shown once.
CREATE TABLE asked (
    id      TEXT   NOT NULL PRIMARY KEY,
    what    TEXT   NOT NULL,
    answer  TEXT   NOT NULL,
    written BIGINT NOT NULL
);
CREATE INDEX asked_written ON asked (written);
