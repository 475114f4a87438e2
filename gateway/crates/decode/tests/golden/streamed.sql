-- options: proto_version 2 streaming on messages true
CREATE TABLE t (id integer PRIMARY KEY, v text);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE m (id integer PRIMARY KEY, m mood);
CREATE PUBLICATION p FOR ALL TABLES;
-- workload
BEGIN;
INSERT INTO t SELECT n, repeat('x', 300) FROM generate_series(1, 200) n;
INSERT INTO m VALUES (1, 'sad');
SELECT pg_logical_emit_message(true, 'inside', 'text');
SAVEPOINT s;
INSERT INTO t SELECT n, repeat('y', 300) FROM generate_series(1000, 1190) n;
ROLLBACK TO s;
UPDATE t SET v = 'z' WHERE id < 3;
DELETE FROM t WHERE id < 3;
TRUNCATE m;
COMMIT;
INSERT INTO t VALUES (5000, 'small');
