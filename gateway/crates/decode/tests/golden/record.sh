#!/usr/bin/env bash
# Records the golden streams from a real server: PGHOST, PGPORT and PGUSER name a superuser of a PostgreSQL 15 with wal_level=logical,
# max_prepared_transactions > 0 and logical_decoding_work_mem=64kB. For each NAME.sql it writes NAME.jsonl: a line with options and
# primary keys, then one line per message. Afterwards run the tests with MILLRACE_BLESS=1 and read what changed in NAME.expected.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for file in "${@:-*.sql}"; do
  for sql in $file; do
    name=${sql%.sql} database=golden_${sql%.sql}
    read -ra options <<<"$(sed -n 's/^-- options: //p' "$sql")"
    list=$(printf ", '%s'" "${options[@]}")
    run() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$database" "$@"; }
    psql -X -q -d postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS $database" -c "CREATE DATABASE $database"
    sed '/^-- workload/,$d' "$sql" | run -f - >/dev/null
    run -c "SELECT pg_create_logical_replication_slot('$database', 'pgoutput')" >/dev/null
    sed '1,/^-- workload/d' "$sql" | run -f - >/dev/null
    {
      run -c "SELECT json_build_object('server', split_part(version(), ' (', 1), 'options', '${options[*]}', 'keys',
        (SELECT coalesce(json_object_agg(c.oid,
            (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(i.indkey) WITH ORDINALITY k(number, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number)), '{}')
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.indisprimary AND n.nspname NOT IN ('pg_catalog', 'pg_toast')))"
      run -c "SELECT json_build_object('lsn', lsn, 'hex', encode(data, 'hex'))
        FROM pg_logical_slot_peek_binary_changes('$database', NULL, NULL, 'publication_names', 'p'$list)"
    } >"$name.jsonl"
    run -c "SELECT pg_drop_replication_slot('$database')" >/dev/null
    psql -X -q -d postgres -c "DROP DATABASE $database"
    echo "$name: $(($(wc -l <"$name.jsonl") - 1)) messages"
  done
done
