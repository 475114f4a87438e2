/* @NAME@: a JSON object per row; no config. */
#include "millrace.h"

typedef struct {
  mr_text head;
  mr_members members;
} prepared;

static mr_error init(mr_text config) {
  const mr_json *json = mr_json_read(config);
  return json && json->kind == MR_JSON_OBJECT ? MR_OK : mr_fail("config: not a JSON object");
}

/* What is the same for every change of a table is made ready once. */
static mr_error announce(const mr_relation *table, mr_format_plan *plan, void **data) {
  prepared *ready = mr_keep(sizeof *ready);
  mr_buf head = {0};
  mr_put(&head, MR_TEXT("{\"table\":"));
  mr_json_string(&head, table->table);
  ready->head = mr_keep_text(mr_text_of(&head));
  ready->members = mr_members_of(table);
  *data = ready;
  plan->reads = mr_both(MR_ALL);
  return MR_OK;
}

static mr_error format(void *data, const mr_change *change, mr_records *out) {
  static const char *const ops[] = {"insert", "update", "delete"};
  const prepared *table = data;
  mr_image row = mr_row(change);
  /* A truncate has no row: no record. */
  if (!row.cells) return MR_OK;
  mr_begin_hashed(out);
  mr_buf *value = mr_value(out);
  mr_put(value, table->head);
  mr_print(value, ",\"op\":\"%s\",\"row\":", ops[mr_op(change)]);
  int32_t bad = mr_json_object(value, &table->members, &row);
  if (bad >= 0) return mr_failf("%T: not UTF-8", change->table->relation.columns.ptr[bad].name);
  mr_put(value, MR_TEXT("}"));
  mr_end(out);
  return MR_OK;
}

MR_FORMAT(init, announce, format)
MR_MODULE(format, "@NAME@", "0.1.0", "{\"type\":\"object\",\"additionalProperties\":false}", false)
