/* millrace_stages.h: plans, answers and the loops of the four stages. Part of millrace.h; the exports are made by the macros at the
 * foot. Structs named as in the contract have its memory layout, since the host reads them in place. */
#ifndef MILLRACE_STAGES_H
#define MILLRACE_STAGES_H

#include "worlds.h"

typedef struct {
  uint32_t index;
  mr_text message;
} mr_fault;

typedef struct {
  mr_fault *ptr;
  uint32_t len, cap;
} mr_faults;

typedef struct {
  uint32_t *ptr;
  uint32_t len, cap;
} mr_u32s;

typedef struct {
  mr_text *ptr;
  uint32_t len, cap;
} mr_texts;

void mr_push(mr_u32s *list, uint32_t value);
void mr_blame(mr_faults *faults, uint32_t index, mr_error error);
/* Index of a text in a short list, added when new. */
uint32_t mr_intern(mr_texts *list, mr_text text);
/* Scratch memory is free again. */
void mr_end_call(void);
/* Copies what is announced into memory that is kept. */
mr_relation mr_keep_relation(const mr_relation *relation);
/* Remembers a table in place of an earlier one of the same id. */
void mr_remember(mr_table table, mr_interest reads);
/* The table of a change, null where it was not announced. `last` is where the one before it was found. */
const mr_table *mr_find(uint32_t id, const mr_table *last);

/* ---- filter ----------------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint8_t tag;
  mr_interest reads;
} mr_filter_plan;

#define MR_PLAN_KEEP ((mr_filter_plan){0, {MR_NOTHING, MR_NOTHING}})
#define MR_PLAN_DROP ((mr_filter_plan){1, {MR_NOTHING, MR_NOTHING}})
#define MR_PLAN_PER_CHANGE(interest) ((mr_filter_plan){2, interest})

/* ---- map -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  /* 0: the table passes unchanged and the rest means nothing; 1: rewritten. */
  uint8_t rewritten;
  /* The table afterwards. */
  mr_relation after;
  /* For each column of `after` the column the host copies it from, or -1: `write` writes it. */
  struct {
    int32_t *ptr;
    uint32_t len;
  } sources;
  mr_interest reads;
  /* Set: `write` is asked whether the change goes on, also where nothing is written. */
  bool may_drop;
} mr_map_plan;

/* Takes the written cells, one call each, in their order. */
typedef struct {
  mr_buf data;
  mr_u32s ends;
} mr_cells;

void mr_write_text(mr_cells *cells, mr_text text);
void mr_write_null(mr_cells *cells);
/* Not sent by the source, hence not known here. */
void mr_write_unsent(mr_cells *cells);

/* ---- route ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  uint8_t tag;
  union {
    struct {
      mr_text topic;
      struct {
        uint8_t tag;
        union {
          uint32_t number;
          mr_text bytes;
        };
      } partition;
    } fixed;
    struct {
      mr_text topic;
      mr_columns columns;
    } by_columns;
    mr_interest reads;
  };
} mr_route_plan;

mr_route_plan mr_route_number(mr_text topic, uint32_t partition);
mr_route_plan mr_route_hash(mr_text topic, mr_text bytes);
mr_route_plan mr_route_columns(mr_text topic, mr_columns columns);
mr_route_plan mr_route_per_change(mr_interest reads);

typedef struct {
  mr_texts topics;
  mr_buf arena;
  mr_u32s topic_of, partitions, hash_ends;
} mr_routes;

/* Exactly one of these per change. `hash`: the bytes decide the partition and are the record key, unless the format gives another. */
void mr_to_number(mr_routes *to, mr_text topic, uint32_t partition);
void mr_to_hash(mr_routes *to, mr_text topic, mr_text bytes);

/* ---- format ----------------------------------------------------------------------------------------------------------------- */

/* Languages of schemas. */
enum { MR_SCHEMA_AVRO, MR_SCHEMA_JSON, MR_SCHEMA_PROTOBUF };

typedef struct {
  bool some;
  struct {
    uint8_t language;
    mr_text name, text;
  } schema;
} mr_schema;

typedef struct {
  mr_interest reads;
  /* Of what this module writes; `some` is false where it has none. */
  mr_schema key_schema, value_schema;
} mr_format_plan;

typedef struct {
  mr_buf arena, marks;
  mr_u32s changes, key_ends, value_ends, topic_of;
  mr_texts topics, header_names;
  mr_buf header_arena;
  mr_u32s header_records, header_names_of, header_ends;
  uint32_t change, key_end, topic;
  uint8_t mark;
} mr_records;

/* A record of the change at hand counts once it is ended. */
void mr_begin_without_key(mr_records *out);
/* The key is what the router hashed. */
void mr_begin_hashed(mr_records *out);
void mr_begin(mr_records *out, mr_text key);
/* Append the value here. */
static inline mr_buf *mr_value(mr_records *out) { return &out->arena; }
/* Makes the value null; what was written of it is taken back. */
void mr_tombstone(mr_records *out);
/* Another topic than the router said. */
void mr_topic(mr_records *out, mr_text topic);
void mr_header(mr_records *out, mr_text name, mr_text value);
void mr_end(mr_records *out);

/* ---- loops ------------------------------------------------------------------------------------------------------------------ */

/* Sets whether the change goes on. */
typedef mr_error mr_keep_fn(void *data, const mr_change *change, bool *kept);
/* Writes the written cells of one image. Called for the new one, then the old one, of those that were sent. */
typedef mr_error mr_write_fn(void *data, const mr_change *change, const mr_image *image, mr_cells *cells);
typedef mr_error mr_route_fn(void *data, const mr_change *change, mr_routes *to);
typedef mr_error mr_format_fn(void *data, const mr_change *change, mr_records *out);

/* The lists of an answer, as the host reads them. */
typedef struct {
  const void *ptr;
  uint32_t len;
} mr_part;

/* Why a change cannot be handed to the module: its table is unknown, or its operation is newer than this kit. */
mr_error mr_unknown(const mr_change *change);
static inline bool mr_known(const mr_change *change) { return change->table && mr_op(change) <= MR_TRUNCATE; }
const mr_part *mr_filter_answer(uint8_t *keep, uint32_t changes, mr_faults *faults);
const mr_part *mr_map_answer(mr_cells *cells, mr_u32s *dropped, mr_faults *faults);
const mr_part *mr_route_answer(mr_routes *to, mr_faults *faults);
const mr_part *mr_format_answer(mr_records *out, mr_faults *faults);
void mr_route_fill(mr_routes *to, uint32_t index, uint32_t arena);
void mr_records_room(mr_records *out, const mr_batch *batch);
typedef struct {
  uint32_t arena, records, header_bytes, headers;
} mr_place;
static inline mr_place mr_place_of(const mr_records *out) {
  return (mr_place){out->arena.len, out->changes.len, out->header_arena.len, out->header_records.len};
}
void mr_back_to(mr_records *out, mr_place place);

#define MR_INLINE static inline __attribute__((always_inline))

MR_INLINE const mr_part *mr_filter_process(const mr_batch *batch, mr_keep_fn keep) {
  uint32_t changes = batch->ops.len, bytes = (changes + 7) / 8;
  uint8_t *bits = mr_scratch(bytes);
  for (uint32_t i = 0; i < bytes; i++) bits[i] = 0;
  mr_faults faults = {0};
  mr_change change = {batch, 0, 0};
  for (; change.index < changes; change.index++) {
    uint32_t id = batch->relations.ptr[change.index];
    bool kept = false;
    change.table = mr_find(id, change.table);
    mr_error error = mr_known(&change) ? keep(change.table->data, &change, &kept) : mr_unknown(&change);
    if (mr_failed(error)) mr_blame(&faults, change.index, error);
    else if (kept) bits[change.index / 8] |= 1 << (change.index % 8);
  }
  return mr_filter_answer(bits, changes, &faults);
}

MR_INLINE mr_error mr_map_one(const mr_change *change, mr_keep_fn keep, mr_write_fn write, mr_cells *cells, bool *kept) {
  void *data = change->table->data;
  mr_error error = keep(data, change, kept);
  if (mr_failed(error) || !*kept || !change->table->written) return error;
  for (int old = 0; old < 2; old++) {
    if (!(old ? mr_has_old(change) : mr_has_new(change))) continue;
    mr_image image = old ? mr_old_image(change) : mr_new_image(change);
    uint32_t before = cells->ends.len;
    error = write(data, change, &image, cells);
    if (mr_failed(error)) return error;
    if (cells->ends.len - before != change->table->written)
      return mr_failf("the module wrote %u cells of an image, its plan has %u", (uint64_t)(cells->ends.len - before),
                      (uint64_t)change->table->written);
  }
  return MR_OK;
}

MR_INLINE const mr_part *mr_map_process(const mr_batch *batch, mr_keep_fn keep, mr_write_fn write) {
  mr_cells cells = {0};
  mr_u32s dropped = {0};
  mr_faults faults = {0};
  mr_change change = {batch, 0, 0};
  for (; change.index < batch->ops.len; change.index++) {
    uint32_t id = batch->relations.ptr[change.index], bytes = cells.data.len, ends = cells.ends.len;
    bool kept = true;
    change.table = mr_find(id, change.table);
    mr_error error = mr_known(&change) ? mr_map_one(&change, keep, write, &cells, &kept) : mr_unknown(&change);
    if (mr_failed(error)) mr_blame(&faults, change.index, error);
    else if (!kept) mr_push(&dropped, change.index);
    else continue;
    cells.data.len = bytes;
    cells.ends.len = ends;
  }
  return mr_map_answer(&cells, &dropped, &faults);
}

MR_INLINE const mr_part *mr_route_process(const mr_batch *batch, mr_route_fn route) {
  mr_routes to = {0};
  mr_faults faults = {0};
  mr_change change = {batch, 0, 0};
  for (; change.index < batch->ops.len; change.index++) {
    uint32_t id = batch->relations.ptr[change.index], before = to.arena.len, given;
    change.table = mr_find(id, change.table);
    mr_error error = mr_known(&change) ? route(change.table->data, &change, &to) : mr_unknown(&change);
    given = to.topic_of.len - change.index;
    if (!mr_failed(error) && given != 1) error = mr_failf("the module gave %u routes for one change", (uint64_t)given);
    if (mr_failed(error)) {
      mr_route_fill(&to, change.index, before);
      mr_blame(&faults, change.index, error);
    }
  }
  return mr_route_answer(&to, &faults);
}

MR_INLINE const mr_part *mr_format_process(const mr_batch *batch, mr_format_fn format) {
  mr_records out = {0};
  mr_faults faults = {0};
  mr_change change = {batch, 0, 0};
  mr_records_room(&out, batch);
  for (; change.index < batch->ops.len; change.index++) {
    uint32_t id = batch->relations.ptr[change.index];
    mr_place place = mr_place_of(&out);
    out.change = change.index;
    change.table = mr_find(id, change.table);
    mr_error error = mr_known(&change) ? format(change.table->data, &change, &out) : mr_unknown(&change);
    if (mr_failed(error)) {
      mr_back_to(&out, place);
      mr_blame(&faults, change.index, error);
    }
  }
  return mr_format_answer(&out, &faults);
}

/* ---- exports ---------------------------------------------------------------------------------------------------------------- */

#define MR_EXPORT(name) __attribute__((export_name(name), used))
#define MR_INTERFACE(stage) "millrace:transform/" #stage "@1.0.0"

/* A result is the module's plan, or a text. */
#define MR_RESULT(plan_type) \
  struct { \
    uint8_t failed; \
    union { \
      plan_type plan; \
      mr_text error; \
    }; \
  }

#define MR_STAGE_EXPORTS(stage, plan_type, init_fn, announce_fn, remember, process_expression) \
  MR_EXPORT(MR_INTERFACE(stage) "#init") const void *mr_##stage##_init(const uint8_t *ptr, uint32_t len) { \
    static MR_RESULT(uint8_t) result; \
    result.error = init_fn((mr_text){ptr, len}); \
    result.failed = mr_failed(result.error); \
    return &result; \
  } \
  MR_EXPORT("cabi_post_" MR_INTERFACE(stage) "#init") void mr_##stage##_init_end(const void *result) { \
    (void)result; \
    mr_end_call(); \
  } \
  MR_EXPORT(MR_INTERFACE(stage) "#announce") \
  const void *mr_##stage##_announce(uint32_t id, const uint8_t *database, uint32_t database_len, const uint8_t *schema, \
                                    uint32_t schema_len, const uint8_t *table, uint32_t table_len, uint32_t identity, \
                                    mr_column *columns, uint32_t columns_len) { \
    static MR_RESULT(plan_type) result; \
    mr_relation told = {id, {database, database_len}, {schema, schema_len}, {table, table_len}, identity, {columns, columns_len}}; \
    mr_table kept = {mr_keep_relation(&told), {0, 0}, {0, 0}, 0, 0}; \
    plan_type plan = {0}; \
    mr_error error = announce_fn(&kept.relation, &plan, &kept.data); \
    remember; \
    result.failed = mr_failed(error); \
    if (result.failed) result.error = error; \
    else result.plan = plan; \
    return &result; \
  } \
  MR_EXPORT("cabi_post_" MR_INTERFACE(stage) "#announce") void mr_##stage##_announce_end(const void *result) { \
    (void)result; \
    mr_end_call(); \
  } \
  MR_EXPORT(MR_INTERFACE(stage) "#process") const void *mr_##stage##_process_export(const mr_batch *batch) { \
    return process_expression; \
  } \
  MR_EXPORT("cabi_post_" MR_INTERFACE(stage) "#process") void mr_##stage##_process_end(const void *result) { \
    (void)result; \
    mr_end_call(); \
  }

/* mr_error init(mr_text config); mr_error announce(const mr_relation *, mr_filter_plan *, void **data); mr_keep_fn keep; */
#define MR_FILTER(init_fn, announce_fn, keep_fn) \
  MR_STAGE_EXPORTS(filter, mr_filter_plan, init_fn, announce_fn, \
                   if (!mr_failed(error)) mr_remember(kept, plan.tag == 2 ? plan.reads : mr_both(MR_NOTHING)), \
                   mr_filter_process(batch, keep_fn))

/* ... announce with mr_map_plan; mr_keep_fn keep (mr_keep_all where none is dropped); mr_write_fn write; */
#define MR_MAP(init_fn, announce_fn, keep_fn, write_fn) \
  MR_STAGE_EXPORTS(map, mr_map_plan, init_fn, announce_fn, if (!mr_failed(error)) error = mr_remember_map(kept, &plan), \
                   mr_map_process(batch, keep_fn, write_fn))

/* ... announce with mr_route_plan; mr_route_fn route (mr_route_none where every table is settled in announce); */
#define MR_ROUTE(init_fn, announce_fn, route_fn) \
  MR_STAGE_EXPORTS(route, mr_route_plan, init_fn, announce_fn, \
                   if (!mr_failed(error)) mr_remember(kept, plan.tag == 2 ? plan.reads : mr_both(MR_NOTHING)), \
                   mr_route_process(batch, route_fn))

/* ... announce with mr_format_plan; mr_format_fn format; */
#define MR_FORMAT(init_fn, announce_fn, format_fn) \
  MR_STAGE_EXPORTS(format, mr_format_plan, init_fn, announce_fn, if (!mr_failed(error)) mr_remember(kept, plan.reads), \
                   mr_format_process(batch, format_fn))

mr_error mr_remember_map(mr_table table, const mr_map_plan *plan);
mr_error mr_keep_all(void *data, const mr_change *change, bool *kept);
mr_error mr_route_none(void *data, const mr_change *change, mr_routes *to);

/* What the component is; `world` is filter, map, route, format, or transform for all four. `schema` is the JSON Schema of the
 * config as a string literal. */
#define MR_MODULE(world, module_name, module_version, schema, is_stateful) \
  MR_EXPORT(MR_INTERFACE(describe) "#about") const void *mr_about(void) { \
    static const struct { \
      mr_text name, version, config_schema; \
      bool stateful; \
    } about = {MR_TEXT(module_name), MR_TEXT(module_version), MR_TEXT(schema), is_stateful}; \
    return &about; \
  } \
  __asm__(".section \".custom_section.component-type:millrace\",\"\",@\n" MR_WORLD_##world ".text\n");

#endif
