-- options: proto_version 1
CREATE TABLE d (b integer, a text, v text, PRIMARY KEY (a, b));
CREATE TABLE f (id integer PRIMARY KEY, v text, flag boolean);
CREATE TABLE i (id integer PRIMARY KEY, u integer NOT NULL, v text);
CREATE UNIQUE INDEX i_u ON i (u);
CREATE TABLE n (id integer PRIMARY KEY, v text);
CREATE TABLE nokey (v text);
ALTER TABLE f REPLICA IDENTITY FULL;
ALTER TABLE i REPLICA IDENTITY USING INDEX i_u;
ALTER TABLE n REPLICA IDENTITY NOTHING;
CREATE PUBLICATION p FOR ALL TABLES;
-- workload
BEGIN;
INSERT INTO d VALUES (1, 'k', 'x'), (2, 'k', NULL);
UPDATE d SET v = 'y' WHERE b = 1;
UPDATE d SET b = 3 WHERE b = 1;
DELETE FROM d WHERE b = 2;
COMMIT;
INSERT INTO f VALUES (1, NULL, true);
UPDATE f SET v = 'n', flag = false;
UPDATE f SET id = 2;
DELETE FROM f;
INSERT INTO i VALUES (1, 10, 'v');
UPDATE i SET v = 'w';
UPDATE i SET u = 11;
UPDATE i SET id = 2;
DELETE FROM i;
INSERT INTO n VALUES (1, 'v');
INSERT INTO nokey VALUES ('v');
