-- options: proto_version 1
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TYPE app.pair AS (a integer, b text);
CREATE DOMAIN yes_no AS boolean;
CREATE DOMAIN blob AS bytea;
CREATE DOMAIN numbers AS integer[];
CREATE TABLE app.types (
  id bigint PRIMARY KEY, b boolean, c "char", n name, i2 smallint, i4 integer, t text, o oid, j json, jb jsonb, x xml,
  f4 real, f8 double precision, m money, ip inet, net cidr, mac macaddr, bp character(4), v character varying(10), d date,
  ti time, ts timestamp, tz timestamptz, iv interval, tt timetz, bi bit(3), vb bit varying(8), nu numeric(20,5), u uuid,
  by bytea, bs boolean[], ia integer[], ta text[], e app.mood, ea app.mood[], p app.pair, yn yes_no, bl blob, ns numbers,
  rc regclass, r int4range, mr int4multirange, g text GENERATED ALWAYS AS (t || '!') STORED
);
CREATE PUBLICATION p FOR ALL TABLES;
-- workload
INSERT INTO app.types VALUES (
  1, true, 'c', 'name', -2, 4, E'line\nbreak "q" \\ ''s'' ä 😀', 26, '{"a": [1,null]}', '{"b":1, "a":"ü"}', '<a>1</a>',
  1.5, 0.1, 12.34, '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', 'ab', 'varchar', '2026-11-24', '01:02:03.4', '2026-11-24 01:02:03.456',
  '2026-11-24 01:02:03.456+02', '1 year 2 mons 3 days 04:05:06', '01:02:03+02', B'101', B'1', 123456789012345.67890,
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff10', '{t,f,NULL}', '{1,NULL,3}', '{a,"b c",NULL}', 'glad', '{sad,glad}',
  '(1,"x y")', false, '\xdead', '{7}', 'app.types', '[1,5)', '{[1,2),[4,5)}');
INSERT INTO app.types (id) VALUES (2);
INSERT INTO app.types (id, t, by, f8, nu, ts, d) VALUES (3, '', '', 'NaN', 'NaN', 'infinity', '0044-03-15 BC');
