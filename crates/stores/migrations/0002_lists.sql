-- What a source's records list: the parts of a payment page, what is installed. Reflects as many entries as the other rows;
-- bodies carry their own version, and one that can't be read is folded again from the ledger.
CREATE TABLE list (
    source  TEXT  NOT NULL PRIMARY KEY,
    body    TEXT  NOT NULL
);
