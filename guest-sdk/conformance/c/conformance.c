/* The reference module in C: does what ../README.md says, and gives the answers in ../golden. */
#include "millrace.h"

/* ---- settings ---- */

/* The config, none of whose members is other than `known`. */
static mr_error read_config(mr_text config, const char *const *known, const mr_json **json) {
  *json = mr_json_read(config);
  if (!*json || (*json)->kind != MR_JSON_OBJECT) return mr_fail("config: not a JSON object");
  for (uint32_t i = 0; i < (*json)->len; i++) {
    bool found = false;
    for (const char *const *name = known; *name; name++) found |= mr_is((*json)->items[i].name, *name);
    if (!found) return mr_failf("%T: unknown", (*json)->items[i].name);
  }
  return MR_OK;
}

static mr_error names_in(const mr_json *json, const char *name, const mr_json **list) {
  *list = mr_json_member(json, name);
  if (!*list) return MR_OK;
  bool strings = (*list)->kind == MR_JSON_ARRAY;
  for (uint32_t i = 0; strings && i < (*list)->len; i++) strings = (*list)->items[i].kind == MR_JSON_STRING;
  return strings ? MR_OK : mr_failf("%s: not a list of strings", name);
}

static bool contains(const mr_json *list, mr_text name) {
  for (uint32_t i = 0; list && i < list->len; i++)
    if (mr_same(list->items[i].text, name)) return true;
  return false;
}

static mr_text full_name(const mr_relation *table) {
  mr_buf name = {0};
  mr_print(&name, "%T.%T", table->schema, table->table);
  return mr_keep_text(mr_text_of(&name));
}

/* ---- filter: rows whose amount is at least min ---- */

static int64_t min;

static mr_error filter_init(mr_text config) {
  const mr_json *json;
  mr_error error = read_config(config, (const char *const[]){"min", 0}, &json);
  if (mr_failed(error)) return error;
  const mr_json *member = mr_json_member(json, "min");
  if (!member) return mr_fail("min: missing");
  if (member->kind != MR_JSON_NUMBER || !mr_whole_number(member->text, &min)) return mr_fail("min: not a whole number");
  mr_buf line = {0};
  mr_print(&line, "filter: min %d", min);
  mr_log(MR_INFO, mr_text_of(&line));
  return MR_OK;
}

static mr_error filter_announce(const mr_relation *table, mr_filter_plan *plan, void **data) {
  (void)data;
  int32_t amount = mr_column_of(table, "amount");
  if (mr_is(table->schema, "refused")) return mr_failf("%T.%T: refused", table->schema, table->table);
  if (mr_is(table->schema, "hidden")) *plan = MR_PLAN_DROP;
  else if (amount < 0) *plan = MR_PLAN_KEEP;
  else *plan = MR_PLAN_PER_CHANGE(mr_both(mr_listed(&(uint16_t){amount}, 1)));
  return MR_OK;
}

static mr_error filter_keep(void *data, const mr_change *change, bool *kept) {
  (void)data;
  mr_image row = mr_row(change);
  mr_cell cell = mr_get(&row, 0);
  int64_t amount;
  mr_count(MR_TEXT("seen"), 1);
  /* A truncate has no row. */
  if (!row.cells) return *kept = true, MR_OK;
  if (cell.kind == MR_NULL) return *kept = false, MR_OK;
  if (cell.kind == MR_UNSENT) return mr_fail("amount: not sent by the source");
  if (!mr_whole_number(cell.text, &amount)) return mr_fail("amount: not a whole number");
  *kept = amount >= min;
  return MR_OK;
}

/* ---- map: columns masked, renamed and dropped ---- */

static const mr_json *mask, *drop, *rename_to;

static mr_error map_init(mr_text config) {
  const mr_json *json;
  mr_error error = read_config(config, (const char *const[]){"mask", "drop", "rename", 0}, &json);
  if (mr_failed(error)) return error;
  rename_to = mr_json_member(json, "rename");
  if (rename_to) {
    bool strings = rename_to->kind == MR_JSON_OBJECT;
    for (uint32_t i = 0; strings && i < rename_to->len; i++) strings = rename_to->items[i].kind == MR_JSON_STRING;
    if (!strings) return mr_fail("rename: not an object of strings");
  }
  error = names_in(json, "mask", &mask);
  return mr_failed(error) ? error : names_in(json, "drop", &drop);
}

static mr_error map_announce(const mr_relation *table, mr_map_plan *plan, void **data) {
  uint32_t count = table->columns.len, masked = 0, kept = 0;
  mr_column *columns = mr_keep(count * sizeof *columns);
  int32_t *sources = mr_keep(count * sizeof *sources);
  uint16_t *reads = mr_scratch(count * sizeof *reads);
  mr_text *names = mr_keep(count * sizeof *names);
  bool changed = false;
  for (uint32_t i = 0; i < count; i++) {
    mr_column column = table->columns.ptr[i];
    if (contains(drop, column.name)) {
      changed = true;
      continue;
    }
    sources[kept] = i;
    if (contains(mask, column.name)) {
      names[masked] = column.name;
      reads[masked++] = i;
      sources[kept] = -1;
      column.type_name = MR_TEXT("text"), column.type_oid = 25, column.jdbc_type = 12;
    }
    for (uint32_t r = 0; rename_to && r < rename_to->len; r++) {
      if (!mr_same(rename_to->items[r].name, table->columns.ptr[i].name)) continue;
      column.name = rename_to->items[r].text;
      changed = true;
    }
    columns[kept++] = column;
  }
  if (!changed && !masked) return MR_OK;
  plan->rewritten = true;
  plan->after = *table;
  plan->after.columns.ptr = columns, plan->after.columns.len = kept;
  plan->sources.ptr = sources, plan->sources.len = kept;
  plan->reads = mr_both(mr_listed(reads, masked));
  plan->may_drop = masked > 0;
  *data = names;
  return MR_OK;
}

static mr_error map_keep(void *data, const mr_change *change, bool *kept) {
  (void)data;
  mr_image row = mr_row(change);
  *kept = true;
  for (uint32_t i = 0; i < row.cells; i++) {
    mr_cell cell = mr_get(&row, i);
    if (cell.kind == MR_VALUE && mr_is(cell.text, "drop me")) *kept = false;
  }
  return MR_OK;
}

static mr_error map_write(void *data, const mr_change *change, const mr_image *image, mr_cells *cells) {
  (void)change;
  const mr_text *names = data;
  for (uint32_t i = 0; i < image->cells; i++) {
    mr_cell cell = mr_get(image, i);
    mr_buf text = {0};
    if (cell.kind == MR_NULL) mr_write_null(cells);
    else if (cell.kind == MR_UNSENT) mr_write_unsent(cells);
    else if (!mr_utf8(cell.text)) return mr_failf("%T: not UTF-8", names[i]);
    else {
      mr_print(&text, "***%u", (uint64_t)cell.text.len);
      mr_write_text(cells, mr_text_of(&text));
    }
  }
  return MR_OK;
}

/* ---- route: by the value of region, else by the key, else by the table ---- */

static mr_text topic;

static mr_error route_init(mr_text config) {
  const mr_json *json;
  mr_error error = read_config(config, (const char *const[]){"topic", 0}, &json);
  if (mr_failed(error)) return error;
  const mr_json *member = mr_json_member(json, "topic");
  if (!member) return mr_fail("topic: missing");
  if (member->kind != MR_JSON_STRING) return mr_fail("topic: not a string");
  topic = member->text;
  return MR_OK;
}

static mr_error route_announce(const mr_relation *table, mr_route_plan *plan, void **data) {
  int32_t region = mr_column_of(table, "region");
  mr_columns key = mr_key_columns(table);
  mr_text *name = mr_keep(sizeof *name);
  *name = full_name(table);
  *data = name;
  if (mr_is(table->schema, "pinned")) *plan = mr_route_number(topic, 3);
  else if (region >= 0) *plan = mr_route_per_change(mr_both(mr_listed(&(uint16_t){region}, 1)));
  else if (key.len) *plan = mr_route_columns(topic, key);
  else *plan = mr_route_hash(topic, *name);
  return MR_OK;
}

static mr_error route_one(void *data, const mr_change *change, mr_routes *to) {
  mr_image row = mr_row(change);
  mr_cell region = mr_get(&row, 0);
  mr_buf name = {0};
  if (!row.cells) return mr_to_hash(to, topic, *(mr_text *)data), MR_OK;
  if (region.kind == MR_NULL) return mr_to_number(to, topic, 0), MR_OK;
  if (region.kind == MR_UNSENT) return mr_fail("region: not sent by the source");
  if (!region.text.len) return mr_fail("region: empty");
  if (!mr_utf8(region.text)) return mr_fail("region: not UTF-8");
  mr_print(&name, "%T.%T", topic, region.text);
  mr_to_hash(to, mr_text_of(&name), region.text);
  return MR_OK;
}

/* ---- format: JSON with a value for each type ---- */

static const mr_json *audit;
static bool with_schema;

typedef struct {
  mr_text name;
  mr_columns key;
} format_table;

static mr_error format_init(mr_text config) {
  const mr_json *json;
  mr_error error = read_config(config, (const char *const[]){"audit", "schema", 0}, &json);
  if (!mr_failed(error)) error = names_in(json, "audit", &audit);
  const mr_json *schema = mr_json_member(json, "schema");
  with_schema = schema && schema->kind == MR_JSON_TRUE;
  if (!mr_failed(error)) mr_log(MR_INFO, MR_TEXT("format: ready"));
  return error;
}

static mr_error format_announce(const mr_relation *table, mr_format_plan *plan, void **data) {
  format_table *kept = mr_keep(sizeof *kept);
  *kept = (format_table){full_name(table), mr_key_columns(table)};
  *data = kept;
  plan->reads = mr_both(MR_ALL);
  if (with_schema)
    plan->value_schema = (mr_schema){true, {MR_SCHEMA_JSON, kept->name, MR_TEXT("{\"type\":\"object\"}")}};
  return MR_OK;
}

/* RFC 4648, with padding. */
static void base64(mr_buf *out, mr_text bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (uint32_t at = 0; at < bytes.len; at += 3) {
    uint32_t left = bytes.len - at, bits = 0;
    uint8_t group[4];
    for (uint32_t i = 0; i < 3; i++) bits = bits << 8 | (i < left ? bytes.ptr[at + i] : 0);
    for (uint32_t i = 0; i < 4; i++) group[i] = i <= left ? digits[bits >> (18 - 6 * i) & 63] : '=';
    mr_put(out, (mr_text){group, 4});
  }
}

static mr_error typed(mr_buf *out, const mr_column *column, mr_text text) {
  int64_t number;
  bool truth;
  mr_text bytes;
  switch (column->jdbc_type) {
    case -6: case 5: case 4: case -5: /* tinyint, smallint, integer, bigint */
      if (!mr_whole_number(text, &number)) return mr_failf("%T: not a whole number", column->name);
      return mr_put(out, text), MR_OK;
    case 2: case 3: case 7: case 8: /* numeric, real, double precision: the text, so that no digit is lost */
      if (mr_is_json_number(text)) return mr_put(out, text), MR_OK;
      break;
    case 16: /* boolean */
      if (!mr_boolean(text, &truth)) return mr_failf("%T: not a boolean", column->name);
      return mr_print(out, truth ? "true" : "false"), MR_OK;
    case -2: /* bytea */
      if (!mr_bytes(text, &bytes)) return mr_failf("%T: not hexadecimal", column->name);
      mr_print(out, "\"");
      base64(out, bytes);
      return mr_print(out, "\""), MR_OK;
    case 93: /* timestamps; infinity and far years stay text */
      if (mr_timestamp(text, &number)) return mr_json_int(out, number), MR_OK;
  }
  return mr_json_string(out, text) ? MR_OK : mr_failf("%T: not UTF-8", column->name);
}

/* The cells that were sent, each as its type has it. */
static mr_error object(mr_buf *out, const mr_image *image) {
  const char *separator = "{";
  for (uint32_t i = 0; i < image->cells; i++) {
    const mr_column *column = &image->relation->columns.ptr[i];
    mr_cell cell = mr_get(image, i);
    if (cell.kind == MR_UNSENT) continue;
    mr_print(out, separator);
    separator = ",";
    mr_json_string(out, column->name);
    mr_print(out, ":");
    if (cell.kind == MR_NULL) {
      mr_print(out, "null");
      continue;
    }
    mr_error error = typed(out, column, cell.text);
    if (mr_failed(error)) return error;
  }
  mr_print(out, *separator == '{' ? "{}" : "}");
  return MR_OK;
}

static const char *const ops[] = {"insert", "update", "delete"};

static mr_error value(mr_buf *out, mr_text name, const mr_change *change) {
  mr_image images[] = {mr_new_image(change), mr_old_image(change)};
  const char *separator = ",\"unsent\":[";
  mr_print(out, "{\"op\":\"%s\",\"table\":", ops[mr_op(change)]);
  mr_json_string(out, name);
  mr_print(out, ",\"id\":%u,\"commit_lsn\":%u,\"csn\":%u,\"xid\":%u,\"ordinal\":%u,\"shard\":%u,\"commit_time\":%d,\"now\":%d", mr_id(change),
           mr_commit_lsn(change), mr_csn(change), mr_xid(change), (uint64_t)mr_ordinal(change), (uint64_t)mr_shard(change), mr_commit_time(change),
           mr_now(change));
  for (int old = 0; old < 2; old++) {
    mr_print(out, old ? ",\"old\":" : ",\"new\":");
    if (!images[old].cells) {
      mr_print(out, "null");
      continue;
    }
    mr_error error = object(out, &images[old]);
    if (mr_failed(error)) return error;
  }
  for (uint32_t i = 0; i < images[0].cells; i++) {
    if (mr_get(&images[0], i).kind != MR_UNSENT) continue;
    mr_print(out, separator);
    mr_json_string(out, images[0].relation->columns.ptr[i].name);
    separator = ",";
  }
  if (separator[1] == 0) mr_print(out, "]");
  mr_print(out, mr_old_is_key_only(change) ? ",\"key_only\":true}" : "}");
  return MR_OK;
}

/* The key columns of the new image with slashes between; false without a key or where one of them has no text. */
static bool key_text(mr_buf *key, const format_table *table, const mr_change *change) {
  mr_image image = mr_new_image(change);
  for (uint32_t i = 0; i < table->key.len; i++) {
    mr_cell cell = mr_get(&image, table->key.ptr[i]);
    if (cell.kind != MR_VALUE) return false;
    if (i) mr_print(key, "/");
    mr_put(key, cell.text);
  }
  return table->key.len > 0;
}

static mr_error format_one(void *data, const mr_change *change, mr_records *out) {
  const format_table *table = data;
  int op = mr_op(change);
  mr_buf key = {0}, xid = {0};
  if (op == MR_TRUNCATE) return MR_OK;
  mr_text op_name = mr_str(ops[op]);
  if (op != MR_UPDATE) mr_begin_hashed(out);
  else if (key_text(&key, table, change)) mr_begin(out, mr_text_of(&key));
  else mr_begin_without_key(out);
  mr_header(out, MR_TEXT("op"), op_name);
  if (op == MR_UPDATE) {
    mr_json_uint(&xid, mr_xid(change));
    mr_header(out, MR_TEXT("xid"), mr_text_of(&xid));
  }
  mr_error error = value(mr_value(out), table->name, change);
  if (mr_failed(error)) return error;
  mr_end(out);
  if (op == MR_DELETE) {
    mr_begin_hashed(out);
    mr_header(out, MR_TEXT("op"), op_name);
    mr_tombstone(out);
    mr_end(out);
  }
  if (contains(audit, change->table->relation.table)) {
    mr_begin_without_key(out);
    mr_topic(out, MR_TEXT("audit"));
    mr_print(mr_value(out), "{\"id\":%u}", mr_id(change));
    mr_end(out);
  }
  return MR_OK;
}

MR_FILTER(filter_init, filter_announce, filter_keep)
MR_MAP(map_init, map_announce, map_keep, map_write)
MR_ROUTE(route_init, route_announce, route_one)
MR_FORMAT(format_init, format_announce, format_one)
MR_MODULE(transform, "conformance", "1.0.0", "{\"type\":\"object\"}", false)
