-- How often tables of payments were read, an hour and a table a row; a row without a table says which logs told anything in its hour.
-- Reflects as many entries as the other rows. Bodies carry their own version: rows that can't be read are counted again from the ledger.
CREATE TABLE read_hour (
    hour  BIGINT NOT NULL,
    name  TEXT   NOT NULL,
    body  TEXT   NOT NULL,
    PRIMARY KEY (hour, name)
);
