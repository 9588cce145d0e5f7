-- Whose rows these are: one database, or one schema of a database, holds one installation's.
-- The id is made with the installation's own key, since two shops may have one name.
CREATE TABLE owner (
    one           INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id            TEXT    NOT NULL,
    installation  TEXT    NOT NULL
);
