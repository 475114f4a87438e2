/* @NAME@: one topic, the partition by the text of a column. Config: {"topic": "orders", "column": "region"}. */
#include "millrace.h"

static mr_text topic, column;

static mr_error init(mr_text config) {
  const mr_json *json = mr_json_read(config);
  const mr_json *to = mr_json_member(json, "topic"), *by = mr_json_member(json, "column");
  if (!to || to->kind != MR_JSON_STRING) return mr_fail("topic: must be a string");
  if (!by || by->kind != MR_JSON_STRING) return mr_fail("column: must be a string");
  topic = to->text, column = by->text;
  return MR_OK;
}

/* A table without the column goes to one partition, the hash of its name; no call per change is needed for that. */
static mr_error announce(const mr_relation *table, mr_route_plan *plan, void **data) {
  (void)data;
  *plan = mr_route_hash(topic, table->table);
  for (uint16_t i = 0; i < table->columns.len; i++)
    if (mr_same(table->columns.ptr[i].name, column)) *plan = mr_route_per_change(mr_both(mr_listed(&i, 1)));
  return MR_OK;
}

/* The bytes handed to mr_to_hash decide the partition and are the record key, unless the format gives another. */
static mr_error route(void *data, const mr_change *change, mr_routes *to) {
  (void)data;
  mr_image row = mr_row(change);
  mr_cell cell = mr_get(&row, 0);
  if (row.cells && cell.kind == MR_UNSENT) return mr_failf("%T: not sent by the source", column);
  if (cell.kind == MR_VALUE) mr_to_hash(to, topic, cell.text);
  else mr_to_number(to, topic, 0);
  return MR_OK;
}

MR_ROUTE(init, announce, route)
MR_MODULE(route, "@NAME@", "0.1.0",
          "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"topic\",\"column\"],\"properties\":{"
          "\"topic\":{\"type\":\"string\"},\"column\":{\"type\":\"string\",\"description\":\"its text decides the partition\"}}}",
          false)
