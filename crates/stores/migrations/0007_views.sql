-- Views of the queue that people keep under a name: the query of its address.
CREATE TABLE saved_view (
    account  TEXT   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name     TEXT   NOT NULL,
    query    TEXT   NOT NULL,
    made     BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);
