/* What the stages share: announced tables, the lists of answers, and taking back what a failed change had written. */
#include "millrace.h"

/* Sorted by id: ids only grow, so announcing appends. */
static mr_table **tables;
static uint32_t tables_len, tables_cap;

static uint32_t place_of(uint32_t id) {
  uint32_t low = 0, high = tables_len;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (tables[middle]->relation.id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

const mr_table *mr_find(uint32_t id, const mr_table *last) {
  /* Changes of one table come in runs. */
  if (last && last->relation.id == id) return last;
  uint32_t at = place_of(id);
  return at < tables_len && tables[at]->relation.id == id ? tables[at] : 0;
}

mr_relation mr_keep_relation(const mr_relation *relation) {
  mr_relation copy = *relation;
  copy.database = mr_keep_text(relation->database);
  copy.schema = mr_keep_text(relation->schema);
  copy.table = mr_keep_text(relation->table);
  copy.columns.ptr = mr_keep(relation->columns.len * sizeof(mr_column));
  for (uint32_t i = 0; i < relation->columns.len; i++) {
    copy.columns.ptr[i] = relation->columns.ptr[i];
    copy.columns.ptr[i].name = mr_keep_text(relation->columns.ptr[i].name);
    copy.columns.ptr[i].type_name = mr_keep_text(relation->columns.ptr[i].type_name);
  }
  return copy;
}

static mr_columns columns_of(mr_selection selection, const mr_relation *relation) {
  mr_columns columns = {0, 0};
  if (selection.tag == 1) return mr_key_columns(relation);
  if (selection.tag == 2) return mr_listed(selection.listed.ptr, selection.listed.len).listed;
  if (selection.tag == 3) {
    columns.len = relation->columns.len;
    columns.ptr = mr_keep(columns.len * sizeof(uint16_t));
    for (uint32_t i = 0; i < columns.len; i++) columns.ptr[i] = i;
  }
  return columns;
}

void mr_remember(mr_table table, mr_interest reads) {
  table.new_columns = columns_of(reads.new_image, &table.relation);
  table.old_columns = columns_of(reads.old_image, &table.relation);
  mr_table *kept = mr_keep(sizeof *kept);
  *kept = table;
  uint32_t at = place_of(table.relation.id);
  if (at < tables_len && tables[at]->relation.id == table.relation.id) {
    tables[at] = kept;
    return;
  }
  if (tables_len == tables_cap) {
    tables_cap = tables_cap ? tables_cap * 2 : 16;
    mr_table **more = mr_keep(tables_cap * sizeof *more);
    for (uint32_t i = 0; i < tables_len; i++) more[i] = tables[i];
    tables = more;
  }
  for (uint32_t i = tables_len++; i > at; i--) tables[i] = tables[i - 1];
  tables[at] = kept;
}

mr_error mr_remember_map(mr_table table, const mr_map_plan *plan) {
  if (plan->rewritten) {
    if (plan->sources.len != plan->after.columns.len)
      return mr_failf("%u columns but %u sources", (uint64_t)plan->after.columns.len, (uint64_t)plan->sources.len);
    for (uint32_t i = 0; i < plan->sources.len; i++) table.written += plan->sources.ptr[i] < 0;
  }
  mr_remember(table, plan->rewritten ? plan->reads : mr_both(MR_NOTHING));
  return MR_OK;
}

int32_t mr_column_of(const mr_relation *table, const char *name) {
  for (uint32_t i = 0; i < table->columns.len; i++)
    if (mr_is(table->columns.ptr[i].name, name)) return i;
  return -1;
}

mr_columns mr_key_columns(const mr_relation *table) {
  mr_columns key = {mr_keep(table->columns.len * sizeof(uint16_t)), 0};
  for (uint32_t i = 0; i < table->columns.len; i++) {
    uint16_t position = table->columns.ptr[i].key_position;
    if (!position) continue;
    uint32_t at = key.len++;
    for (; at > 0 && table->columns.ptr[key.ptr[at - 1]].key_position > position; at--) key.ptr[at] = key.ptr[at - 1];
    key.ptr[at] = i;
  }
  return key;
}

mr_selection mr_listed(const uint16_t *columns, uint32_t count) {
  uint16_t *copy = mr_keep(count * sizeof *copy);
  for (uint32_t i = 0; i < count; i++) copy[i] = columns[i];
  return (mr_selection){2, {copy, count}};
}

mr_cell mr_named(const mr_image *image, const char *name) {
  int32_t column = mr_column_of(image->relation, name);
  for (uint32_t i = 0; i < image->columns->len; i++)
    if (image->columns->ptr[i] == column) return mr_get(image, i);
  return (mr_cell){MR_UNSENT, {0, 0}};
}

/* ---- lists ---- */

/* Room for one element more. */
static void *room(void *ptr, uint32_t len, uint32_t *cap, uint32_t size) {
  if (len < *cap) return ptr;
  *cap = *cap ? *cap * 2 : 64;
  uint8_t *more = mr_scratch((size_t)*cap * size);
  if (len) __builtin_memcpy(more, ptr, (size_t)len * size);
  return more;
}

void mr_push(mr_u32s *list, uint32_t value) {
  list->ptr = room(list->ptr, list->len, &list->cap, sizeof value);
  list->ptr[list->len++] = value;
}

void mr_blame(mr_faults *faults, uint32_t index, mr_error error) {
  faults->ptr = room(faults->ptr, faults->len, &faults->cap, sizeof *faults->ptr);
  faults->ptr[faults->len++] = (mr_fault){index, error};
}

uint32_t mr_intern(mr_texts *list, mr_text text) {
  /* Few, and mostly the one before. */
  for (uint32_t i = list->len; i-- > 0;)
    if (mr_same(list->ptr[i], text)) return i;
  list->ptr = room(list->ptr, list->len, &list->cap, sizeof *list->ptr);
  list->ptr[list->len] = text;
  return list->len++;
}

mr_error mr_unknown(const mr_change *change) {
  if (change->table) return mr_failf("operation %u is newer than this module", (uint64_t)mr_op(change));
  return mr_failf("relation %u was not announced to this stage", (uint64_t)change->batch->relations.ptr[change->index]);
}

/* ---- plans and answers ---- */

static mr_part answer[16];
#define PART(list) ((mr_part){(list).ptr, (list).len})

const mr_part *mr_filter_answer(uint8_t *keep, uint32_t changes, mr_faults *faults) {
  answer[0] = (mr_part){keep, (changes + 7) / 8};
  answer[1] = PART(*faults);
  return answer;
}

mr_error mr_keep_all(void *data, const mr_change *change, bool *kept) {
  (void)data, (void)change;
  *kept = true;
  return MR_OK;
}

void mr_write_text(mr_cells *cells, mr_text text) {
  mr_put(&cells->data, text);
  mr_push(&cells->ends, cells->data.len);
}
void mr_write_null(mr_cells *cells) { mr_push(&cells->ends, cells->data.len | MR_END_NULL); }
void mr_write_unsent(mr_cells *cells) { mr_push(&cells->ends, cells->data.len | MR_END_UNSENT); }

const mr_part *mr_map_answer(mr_cells *cells, mr_u32s *dropped, mr_faults *faults) {
  answer[0] = PART(cells->data);
  answer[1] = PART(cells->ends);
  answer[2] = PART(*dropped);
  answer[3] = PART(*faults);
  return answer;
}

mr_route_plan mr_route_number(mr_text topic, uint32_t partition) {
  return (mr_route_plan){.tag = 0, .fixed = {topic, {0, {.number = partition}}}};
}
mr_route_plan mr_route_hash(mr_text topic, mr_text bytes) {
  return (mr_route_plan){.tag = 0, .fixed = {topic, {1, {.bytes = bytes}}}};
}
mr_route_plan mr_route_columns(mr_text topic, mr_columns columns) {
  return (mr_route_plan){.tag = 1, .by_columns = {topic, columns}};
}
mr_route_plan mr_route_per_change(mr_interest reads) { return (mr_route_plan){.tag = 2, .reads = reads}; }

mr_error mr_route_none(void *data, const mr_change *change, mr_routes *to) {
  (void)data, (void)change, (void)to;
  return mr_fail("this module routes by table only");
}

static void route(mr_routes *to, mr_text topic, int32_t partition) {
  mr_push(&to->topic_of, mr_intern(&to->topics, topic));
  mr_push(&to->partitions, partition);
  mr_push(&to->hash_ends, to->arena.len);
}

void mr_to_number(mr_routes *to, mr_text topic, uint32_t partition) {
  /* Kafka counts partitions in an int32: what does not fit is refused by the host as out of range. */
  route(to, topic, partition > INT32_MAX ? INT32_MAX : (int32_t)partition);
}
void mr_to_hash(mr_routes *to, mr_text topic, mr_text bytes) {
  mr_put(&to->arena, bytes);
  route(to, topic, -1);
}

/* The lists keep one element per change; what stands at a fault is ignored. */
void mr_route_fill(mr_routes *to, uint32_t index, uint32_t arena) {
  to->topic_of.len = to->partitions.len = to->hash_ends.len = index;
  to->arena.len = arena;
  route(to, (mr_text){0, 0}, 0);
}

const mr_part *mr_route_answer(mr_routes *to, mr_faults *faults) {
  answer[0] = PART(to->topics);
  answer[1] = PART(to->arena);
  answer[2] = PART(to->topic_of);
  answer[3] = PART(to->partitions);
  answer[4] = PART(to->hash_ends);
  answer[5] = PART(*faults);
  return answer;
}

enum { NO_KEY = 1, TOMBSTONE = 2, HASHED_KEY = 4 };

void mr_records_room(mr_records *out, const mr_batch *batch) {
  static uint32_t per_change = 256;
  /* What the last batch needed beyond its cells would be better still, but scratch is cheap: pages stay. */
  mr_grow(&out->arena, batch->data.len + batch->ops.len * per_change);
  mr_grow(&out->marks, batch->ops.len);
}

static void begin(mr_records *out, uint8_t mark, mr_text key) {
  mr_put(&out->arena, key);
  out->mark = mark;
  out->key_end = out->arena.len;
  out->topic = (uint32_t)-1;
}
void mr_begin_without_key(mr_records *out) { begin(out, NO_KEY, (mr_text){0, 0}); }
void mr_begin_hashed(mr_records *out) { begin(out, HASHED_KEY, (mr_text){0, 0}); }
void mr_begin(mr_records *out, mr_text key) { begin(out, 0, key); }

void mr_tombstone(mr_records *out) {
  out->mark |= TOMBSTONE;
  out->arena.len = out->key_end;
}

void mr_topic(mr_records *out, mr_text topic) { out->topic = mr_intern(&out->topics, topic); }

void mr_header(mr_records *out, mr_text name, mr_text value) {
  mr_put(&out->header_arena, value);
  mr_push(&out->header_records, out->changes.len);
  mr_push(&out->header_names_of, mr_intern(&out->header_names, name));
  mr_push(&out->header_ends, out->header_arena.len);
}

void mr_end(mr_records *out) {
  mr_push(&out->changes, out->change);
  mr_push(&out->key_ends, out->key_end);
  mr_push(&out->value_ends, out->arena.len);
  mr_push(&out->topic_of, out->topic);
  mr_put(&out->marks, (mr_text){&out->mark, 1});
}

void mr_back_to(mr_records *out, mr_place place) {
  out->arena.len = place.arena;
  out->changes.len = out->key_ends.len = out->value_ends.len = out->topic_of.len = out->marks.len = place.records;
  out->header_arena.len = place.header_bytes;
  out->header_records.len = out->header_names_of.len = out->header_ends.len = place.headers;
}

const mr_part *mr_format_answer(mr_records *out, mr_faults *faults) {
  answer[0] = PART(out->arena);
  answer[1] = PART(out->changes);
  answer[2] = PART(out->key_ends);
  answer[3] = PART(out->value_ends);
  answer[4] = PART(out->topic_of);
  answer[5] = PART(out->marks);
  answer[6] = PART(out->topics);
  answer[7] = PART(out->header_names);
  answer[8] = PART(out->header_arena);
  answer[9] = PART(out->header_records);
  answer[10] = PART(out->header_names_of);
  answer[11] = PART(out->header_ends);
  answer[12] = PART(*faults);
  return answer;
}
