/* millrace.h: C kit for Millrace transform modules.
 *
 * A module includes this file, writes the functions of its stage and names itself:
 *
 *     static mr_error init(mr_text config) { ... }
 *     static mr_error announce(const mr_relation *table, mr_filter_plan *plan, void **data) { ... }
 *     static mr_error keep(void *data, const mr_change *change, bool *kept) { ... }
 *     MR_FILTER(init, announce, keep)
 *     MR_MODULE(filter, "keyed-only", "1.0.0", "{}", false)
 *
 * and is compiled together with millrace.c (build.sh does both). Freestanding: no libc, no WASI.
 *
 * Memory has two lives. What the host hands over and what `mr_scratch` gives is gone when the call returns; `mr_keep` gives memory
 * for as long as the instance lives, for settings and what a table needs. Nothing is freed by hand. Relations handed to `announce`
 * are kept by the kit, so pointers into them stay good.
 *
 * Errors are texts: `MR_OK`, or `mr_fail("min: must be positive")`, `mr_failf("%T: not a number", name)`. From `init` and `announce`
 * they stop the task; for one change they are its fault, what was written for it is taken back, and its neighbours go on. */
#ifndef MILLRACE_H
#define MILLRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- text and buffers ------------------------------------------------------------------------------------------------------- */

/* Bytes with a length; no zero behind them. */
typedef struct {
  const uint8_t *ptr;
  uint32_t len;
} mr_text;

#define MR_TEXT(literal) ((mr_text){(const uint8_t *)("" literal), sizeof("" literal) - 1})

/* No error has no ptr. */
typedef mr_text mr_error;
#define MR_OK ((mr_error){0, 0})
#define mr_failed(error) ((error).ptr != 0)

/* Bytes that grow, in scratch memory. */
typedef struct {
  uint8_t *ptr;
  uint32_t len, cap;
} mr_buf;

void *mr_scratch(size_t size);
void *mr_keep(size_t size);
mr_text mr_keep_text(mr_text text);
/* A text of a C string. */
mr_text mr_str(const char *text);
bool mr_same(mr_text a, mr_text b);
bool mr_is(mr_text text, const char *literal);
/* True where the bytes are UTF-8. */
bool mr_utf8(mr_text text);

/* Makes room for `more` bytes behind the end, and 16 to spare. */
void mr_grow(mr_buf *buf, uint32_t more);
void mr_put(mr_buf *buf, mr_text text);
/* %s C string, %T mr_text, %d int64_t (also int), %u uint64_t, %% percent sign. */
void mr_print(mr_buf *buf, const char *format, ...);
mr_text mr_text_of(const mr_buf *buf);

/* `message` must stay good until the call returns: a literal, or scratch. */
mr_error mr_fail(const char *message);
mr_error mr_failf(const char *format, ...);

enum { MR_ERROR, MR_WARN, MR_INFO, MR_DEBUG, MR_TRACE };
/* One line to the gateway's log; the host limits the rate. */
void mr_log(int level, mr_text message);
/* Adds to a counter of the module's own, shown among the gateway's metrics; the task must grant `counter`, or a module that calls this
 * is not loaded. `name`: 1 to 64 of a-z 0-9 _. */
void mr_count(mr_text name, uint64_t by);
/* Ends the instance; the text becomes the error. For what must not be. */
_Noreturn void mr_panic(const char *message);

/* ---- tables ----------------------------------------------------------------------------------------------------------------- */

/* See wit: record column. */
typedef struct {
  mr_text name, type_name;
  uint32_t type_oid;
  /* As the catalogue keeps it (atttypmod); -1 where there is none. */
  int32_t type_modifier;
  int32_t jdbc_type;
  /* 1-based position in the primary key, 0 outside it. */
  uint16_t key_position;
} mr_column;

typedef struct {
  uint32_t id;
  mr_text database, schema, table;
  /* Replica identity: 0 default, 1 full, 2 index, 3 nothing. */
  uint8_t identity;
  struct {
    mr_column *ptr;
    uint32_t len;
  } columns;
} mr_relation;

/* Index of a column by name, -1 where there is none. */
int32_t mr_column_of(const mr_relation *table, const char *name);

/* Column indexes. */
typedef struct {
  uint16_t *ptr;
  uint32_t len;
} mr_columns;

/* The primary key's columns in key order, in memory that is kept. */
mr_columns mr_key_columns(const mr_relation *table);

typedef struct {
  uint8_t tag;
  mr_columns listed;
} mr_selection;

/* What a stage reads of the new and of the old image. */
typedef struct {
  mr_selection new_image, old_image;
} mr_interest;

#define MR_NOTHING ((mr_selection){0, {0, 0}})
#define MR_KEY ((mr_selection){1, {0, 0}})
#define MR_ALL ((mr_selection){3, {0, 0}})
/* These columns, in this order. */
mr_selection mr_listed(const uint16_t *columns, uint32_t count);
/* The same selection of both images. */
static inline mr_interest mr_both(mr_selection selection) { return (mr_interest){selection, selection}; }

/* A table as the kit remembers it. */
typedef struct {
  mr_relation relation;
  mr_columns new_columns, old_columns;
  /* Cells that a map writes per image. */
  uint32_t written;
  void *data;
} mr_table;

/* ---- changes ---------------------------------------------------------------------------------------------------------------- */

#define MR_LIST(type) \
  struct { \
    const type *ptr; \
    uint32_t len; \
  }

/* See wit: record batch. */
typedef struct {
  int64_t now;
  uint16_t shard;
  mr_text data;
  MR_LIST(uint32_t) ends;
  MR_LIST(uint64_t) ids;
  MR_LIST(uint64_t) commit_lsns;
  MR_LIST(uint64_t) csns;
  MR_LIST(uint64_t) xids;
  MR_LIST(int64_t) commit_times;
  MR_LIST(uint32_t) ordinals;
  MR_LIST(uint32_t) relations;
  MR_LIST(uint32_t) first_cells;
  MR_LIST(uint16_t) new_cells;
  MR_LIST(uint16_t) old_cells;
  MR_LIST(uint8_t) ops;
  MR_LIST(uint8_t) marks;
} mr_batch;

/* One change; valid during the call it is handed to. */
typedef struct {
  const mr_batch *batch;
  uint32_t index;
  const mr_table *table;
} mr_change;

enum { MR_INSERT, MR_UPDATE, MR_DELETE, MR_TRUNCATE };

static inline int mr_op(const mr_change *c) { return c->batch->ops.ptr[c->index]; }
/* Unique in the task, rising per shard, the same again on replay. */
static inline uint64_t mr_id(const mr_change *c) { return c->batch->ids.ptr[c->index]; }
static inline uint64_t mr_commit_lsn(const mr_change *c) { return c->batch->commit_lsns.ptr[c->index]; }
/* Commit sequence number, comparable between shards; 0 where the source has none. */
static inline uint64_t mr_csn(const mr_change *c) { return c->batch->csns.ptr[c->index]; }
/* Microseconds since the Unix epoch, at the source. */
static inline int64_t mr_commit_time(const mr_change *c) { return c->batch->commit_times.ptr[c->index]; }
/* The only clock, microseconds since the Unix epoch. */
static inline int64_t mr_now(const mr_change *c) { return c->batch->now; }
static inline uint64_t mr_xid(const mr_change *c) { return c->batch->xids.ptr[c->index]; }
static inline uint32_t mr_ordinal(const mr_change *c) { return c->batch->ordinals.ptr[c->index]; }
static inline uint16_t mr_shard(const mr_change *c) { return c->batch->shard; }
/* What the source sent, asked for or not. */
static inline bool mr_has_new(const mr_change *c) { return c->batch->marks.ptr[c->index] & 1; }
static inline bool mr_has_old(const mr_change *c) { return c->batch->marks.ptr[c->index] & 2; }
static inline bool mr_old_is_key_only(const mr_change *c) { return c->batch->marks.ptr[c->index] & 4; }

/* SQL NULL is not the same as not sent: an unchanged large value, or a column outside a key-only old image. */
typedef enum { MR_VALUE, MR_NULL, MR_UNSENT } mr_kind;

/* One value of a row; the text has a length of 0 where there is none. Nobody has checked that it is UTF-8. */
typedef struct {
  mr_kind kind;
  mr_text text;
} mr_cell;

/* One image of a row: the cells the stage asked for. No cells: there is no such image, or nothing was asked for. */
typedef struct {
  const mr_batch *batch;
  const mr_columns *columns;
  const mr_relation *relation;
  uint32_t first, cells;
} mr_image;

#define MR_END ((UINT32_C(1) << 30) - 1)
#define MR_END_UNSENT (UINT32_C(1) << 30)
#define MR_END_NULL (UINT32_C(1) << 31)

static inline mr_image mr_new_image(const mr_change *c) {
  const mr_batch *b = c->batch;
  return (mr_image){b, &c->table->new_columns, &c->table->relation, b->first_cells.ptr[c->index], b->new_cells.ptr[c->index]};
}

static inline mr_image mr_old_image(const mr_change *c) {
  const mr_batch *b = c->batch;
  uint32_t first = b->first_cells.ptr[c->index] + b->new_cells.ptr[c->index];
  return (mr_image){b, &c->table->old_columns, &c->table->relation, first, b->old_cells.ptr[c->index]};
}

/* The row the change is about: the new image, or the old one on delete. */
static inline mr_image mr_row(const mr_change *c) {
  mr_image row = mr_new_image(c);
  return row.cells ? row : mr_old_image(c);
}

/* The cell at a position of the interest; under MR_ALL that is the column's index. Unsent beyond the last. */
static inline mr_cell mr_get(const mr_image *image, uint32_t position) {
  if (position >= image->cells) return (mr_cell){MR_UNSENT, {0, 0}};
  uint32_t at = image->first + position, end = image->batch->ends.ptr[at];
  uint32_t start = at ? image->batch->ends.ptr[at - 1] & MR_END : 0;
  mr_kind kind = end & MR_END_NULL ? MR_NULL : end & MR_END_UNSENT ? MR_UNSENT : MR_VALUE;
  return (mr_cell){kind, {image->batch->data.ptr + start, (end & MR_END) - start}};
}

/* The cell of a column by name; unsent where the interest left it out. */
mr_cell mr_named(const mr_image *image, const char *name);

/* ---- values ----------------------------------------------------------------------------------------------------------------- */

/* False where the text is not that, or does not fit; nothing is rounded. */
bool mr_whole_number(mr_text text, int64_t *value);
/* A number as JSON writes one, of any precision, so that it can be copied. NaN and Infinity are none. */
bool mr_is_json_number(mr_text text);
bool mr_boolean(mr_text text, bool *value);
/* Bytes of a binary value, whose text is hexadecimal digits; in scratch memory. */
bool mr_bytes(mr_text text, mr_text *value);
/* Microseconds since the Unix epoch, as UTC where the text has no offset; years 1 to 9999. */
bool mr_timestamp(mr_text text, int64_t *micros);

/* ---- JSON ------------------------------------------------------------------------------------------------------------------- */

/* Text as a JSON string. False where it is not UTF-8; what was written stays in the buffer. */
bool mr_json_string(mr_buf *out, mr_text text);
void mr_json_int(mr_buf *out, int64_t value);
void mr_json_uint(mr_buf *out, uint64_t value);

/* Member names made ready once: `,"name":"` each. `bytes`: of all of them. */
typedef struct {
  mr_text *names;
  uint32_t len, bytes;
} mr_members;

/* For all columns of a table, kept. */
mr_members mr_members_of(const mr_relation *table);
/* An object of an image's cells: strings, null for SQL NULL, no member for what was not sent. -1, or the position of a cell that is
 * not UTF-8. */
int32_t mr_json_object(mr_buf *out, const mr_members *members, const mr_image *image);

/* JSON that was read: the config. Kept. */
typedef struct mr_json mr_json;
enum { MR_JSON_NULL, MR_JSON_FALSE, MR_JSON_TRUE, MR_JSON_NUMBER, MR_JSON_STRING, MR_JSON_ARRAY, MR_JSON_OBJECT };
struct mr_json {
  int kind;
  /* The name, where this is a member of an object. */
  mr_text name;
  /* The string without escapes, or the number as it stands. */
  mr_text text;
  const mr_json *items;
  uint32_t len;
};
/* Null where the text is no JSON. Empty text is an empty object. */
const mr_json *mr_json_read(mr_text text);
/* A member by name; null where there is none, or `json` is null or no object. */
const mr_json *mr_json_member(const mr_json *json, const char *name);

#include "millrace_stages.h"

#endif
