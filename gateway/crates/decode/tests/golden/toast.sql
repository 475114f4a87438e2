-- options: proto_version 1
CREATE TABLE plain (id integer PRIMARY KEY, big text, n integer);
CREATE TABLE whole (id integer PRIMARY KEY, big text, n integer);
ALTER TABLE plain ALTER big SET STORAGE EXTERNAL;
ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE PUBLICATION p FOR ALL TABLES;
-- workload
INSERT INTO plain VALUES (1, repeat('x', 2500), 1);
INSERT INTO whole VALUES (1, repeat('y', 2500), 1);
UPDATE plain SET n = 2;
UPDATE whole SET n = 2;
UPDATE plain SET big = NULL;
UPDATE plain SET id = 9, n = NULL;
DELETE FROM plain;
DELETE FROM whole;
