/* c-logfmt: a line of key=value pairs per row, for people and log tools.
 *
 * Config: {"skip": ["column", ...]}. NULL is written as the bare name; what the source did not send is left out. */
#include "millrace.h"

static const mr_json *skip;

typedef struct {
  mr_text head;
  /* Per column of the table its name and an equals sign; empty where it is skipped. */
  mr_text *names;
} prepared;

static mr_error init(mr_text config) {
  const mr_json *json = mr_json_read(config);
  if (!json || json->kind != MR_JSON_OBJECT) return mr_fail("config: not a JSON object");
  for (uint32_t i = 0; i < json->len; i++)
    if (!mr_is(json->items[i].name, "skip")) return mr_failf("%T: unknown setting", json->items[i].name);
  skip = mr_json_member(json, "skip");
  if (skip && skip->kind != MR_JSON_ARRAY) return mr_fail("skip: must be a list of column names");
  for (uint32_t i = 0; skip && i < skip->len; i++)
    if (skip->items[i].kind != MR_JSON_STRING) return mr_failf("skip[%u]: must be a column name", (uint64_t)i);
  return MR_OK;
}

static bool skipped(mr_text name) {
  for (uint32_t i = 0; skip && i < skip->len; i++)
    if (mr_same(skip->items[i].text, name)) return true;
  return false;
}

static mr_error announce(const mr_relation *table, mr_format_plan *plan, void **data) {
  prepared *ready = mr_keep(sizeof *ready);
  mr_buf head = {0};
  mr_print(&head, " table=%T.%T", table->schema, table->table);
  ready->head = mr_keep_text(mr_text_of(&head));
  ready->names = mr_keep(table->columns.len * sizeof *ready->names);
  for (uint32_t i = 0; i < table->columns.len; i++) {
    mr_text name = table->columns.ptr[i].name;
    mr_buf pair = {0};
    if (!skipped(name)) mr_print(&pair, " %T=", name);
    ready->names[i] = mr_keep_text(mr_text_of(&pair));
  }
  *data = ready;
  plan->reads = mr_both(MR_ALL);
  return MR_OK;
}

/* Whether a value can stand without quotes. */
static bool bare(mr_text text) {
  for (uint32_t i = 0; i < text.len; i++)
    if (text.ptr[i] <= ' ' || text.ptr[i] == '"' || text.ptr[i] == '=' || text.ptr[i] == '\\' || text.ptr[i] >= 0x7f) return false;
  return text.len > 0;
}

static mr_error format(void *data, const mr_change *change, mr_records *out) {
  static const char *const ops[] = {"insert", "update", "delete", "truncate"};
  const prepared *table = data;
  mr_image row = mr_row(change);
  mr_begin_hashed(out);
  mr_buf *line = mr_value(out);
  mr_print(line, "op=%s", ops[mr_op(change)]);
  mr_put(line, table->head);
  for (uint32_t i = 0; i < row.cells; i++) {
    mr_cell cell = mr_get(&row, i);
    mr_text name = table->names[i];
    if (!name.len || cell.kind == MR_UNSENT) continue;
    if (cell.kind == MR_NULL) {
      mr_put(line, (mr_text){name.ptr, name.len - 1});
      continue;
    }
    mr_put(line, name);
    if (bare(cell.text)) mr_put(line, cell.text);
    else if (!mr_json_string(line, cell.text)) return mr_failf("%T: not UTF-8", row.relation->columns.ptr[i].name);
  }
  mr_end(out);
  return MR_OK;
}

MR_FORMAT(init, announce, format)
MR_MODULE(format, "c-logfmt", "1.0.0",
          "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"additionalProperties\":false,"
          "\"properties\":{\"skip\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"columns to leave out\"}}}",
          false)
