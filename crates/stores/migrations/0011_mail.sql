-- What an address of mail was told of an incident, as JSON that carries its own version; `sent` in microseconds, zero when nothing
-- was. A row without an incident says since when the address is told anything. An account's own address is an `identity` of
-- kind `mail` with the account's id as subject.
CREATE TABLE mailed (
    address   TEXT   NOT NULL,
    incident  TEXT   NOT NULL,
    body      TEXT   NOT NULL,
    sent      BIGINT NOT NULL,
    PRIMARY KEY (address, incident)
);
