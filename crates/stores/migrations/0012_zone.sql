-- The time zone in which somebody is told times, by its IANA name; empty where they chose none.
ALTER TABLE account ADD COLUMN zone TEXT NOT NULL DEFAULT '';
