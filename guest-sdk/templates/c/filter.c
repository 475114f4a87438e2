/* @NAME@: drops rows where a column is NULL. Config: {"column": "email"}. */
#include "millrace.h"

static mr_text column;

static mr_error init(mr_text config) {
  const mr_json *name = mr_json_member(mr_json_read(config), "column");
  if (!name || name->kind != MR_JSON_STRING) return mr_fail("column: must be a string");
  column = name->text;
  return MR_OK;
}

/* Asked once per table: one without the column needs no call per change. */
static mr_error announce(const mr_relation *table, mr_filter_plan *plan, void **data) {
  (void)data;
  *plan = MR_PLAN_KEEP;
  for (uint16_t i = 0; i < table->columns.len; i++)
    if (mr_same(table->columns.ptr[i].name, column)) *plan = MR_PLAN_PER_CHANGE(mr_both(mr_listed(&i, 1)));
  return MR_OK;
}

/* Asked once per change; the image has the one cell that `announce` asked for. A truncate has no image. */
static mr_error keep(void *data, const mr_change *change, bool *kept) {
  (void)data;
  mr_image row = mr_row(change);
  *kept = !row.cells || mr_get(&row, 0).kind != MR_NULL;
  return MR_OK;
}

MR_FILTER(init, announce, keep)
MR_MODULE(filter, "@NAME@", "0.1.0",
          "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"column\"],"
          "\"properties\":{\"column\":{\"type\":\"string\",\"description\":\"rows where it is NULL are dropped\"}}}",
          false)
