/* @NAME@: replaces the text of a column by stars. Config: {"column": "email"}. */
#include "millrace.h"

static mr_text column;

static mr_error init(mr_text config) {
  const mr_json *name = mr_json_member(mr_json_read(config), "column");
  if (!name || name->kind != MR_JSON_STRING) return mr_fail("column: must be a string");
  column = name->text;
  return MR_OK;
}

/* The host copies every column but the one whose source is -1: that one `write` gives. */
static mr_error announce(const mr_relation *table, mr_map_plan *plan, void **data) {
  (void)data;
  int32_t *sources = mr_keep(table->columns.len * sizeof *sources);
  for (uint16_t i = 0; i < table->columns.len; i++) {
    sources[i] = i;
    if (!mr_same(table->columns.ptr[i].name, column)) continue;
    sources[i] = -1;
    plan->rewritten = true;
    plan->reads = mr_both(mr_listed(&i, 1));
  }
  plan->after = *table;
  plan->sources.ptr = sources;
  plan->sources.len = table->columns.len;
  return MR_OK;
}

/* NULL and what the source did not send stay what they are. */
static mr_error write(void *data, const mr_change *change, const mr_image *image, mr_cells *cells) {
  (void)data, (void)change;
  switch (mr_get(image, 0).kind) {
    case MR_NULL: mr_write_null(cells); break;
    case MR_UNSENT: mr_write_unsent(cells); break;
    case MR_VALUE: mr_write_text(cells, MR_TEXT("***")); break;
  }
  return MR_OK;
}

MR_MAP(init, announce, mr_keep_all, write)
MR_MODULE(map, "@NAME@", "0.1.0",
          "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"column\"],"
          "\"properties\":{\"column\":{\"type\":\"string\",\"description\":\"its text is replaced by stars\"}}}",
          false)
