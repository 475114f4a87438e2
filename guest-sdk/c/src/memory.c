/* Memory, text and the log. Scratch is chunks that are filled one after the other and taken back all at once when the host has read the
 * answer; what is kept comes from chunks that are never taken back. Both grow the linear memory, nothing ever shrinks it. */
#include <stdarg.h>

#include "millrace.h"

#define PAGE 65536u
/* Room behind every block: text is copied and scanned sixteen bytes a step. */
#define SPARE 16u

#define IMPORT(interface, name) __attribute__((import_module("millrace:transform/" interface "@1.0.0"), import_name(name))) extern
IMPORT("log", "log") void import_log(int level, const uint8_t *ptr, uint32_t len);
IMPORT("counter", "add") void import_add(const uint8_t *ptr, uint32_t len, uint64_t by);

typedef struct chunk {
  struct chunk *next;
  uint32_t size, used;
} chunk;

static chunk *first, *current;
static uint8_t *kept, *kept_end;

/* Whole pages from the end of memory. */
static void *pages(uint32_t bytes) {
  uint32_t count = bytes / PAGE + (bytes % PAGE != 0);
  size_t at = __builtin_wasm_memory_grow(0, count);
  if (at == (size_t)-1) mr_panic("out of memory");
  return (void *)(at * PAGE);
}

static uint32_t rounded(size_t size) {
  /* Nothing the contract can ask for is near this. */
  if (size > (UINT32_C(1) << 31) - PAGE) mr_panic("a block is too large");
  return ((uint32_t)size + SPARE + 15) & ~15u;
}

void *mr_scratch(size_t size) {
  uint32_t need = rounded(size);
  while (!current || current->size - current->used < need) {
    if (current && current->next) {
      current = current->next;
      current->used = sizeof(chunk);
      continue;
    }
    uint32_t grown = current ? current->size * 2 : 4 * PAGE;
    if (grown > 64 * PAGE) grown = 64 * PAGE;
    uint32_t bytes = grown > need + 16 ? grown : (need + 16 + PAGE - 1) & ~(PAGE - 1);
    chunk *more = pages(bytes);
    *more = (chunk){0, bytes, 16};
    if (current) current->next = more;
    else first = more;
    current = more;
  }
  void *block = (uint8_t *)current + current->used;
  current->used += need;
  return block;
}

void mr_end_call(void) {
  current = first;
  if (first) first->used = 16;
}

void *mr_keep(size_t size) {
  uint32_t need = rounded(size);
  if ((uint32_t)(kept_end - kept) < need) {
    uint32_t bytes = need > PAGE ? (need + PAGE - 1) & ~(PAGE - 1) : PAGE;
    kept = pages(bytes);
    kept_end = kept + bytes;
  }
  void *block = kept;
  kept += need;
  return block;
}

/* The host's allocations, for what it hands over. */
__attribute__((export_name("cabi_realloc"), used)) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (size == 0) return (void *)align;
  void *block = mr_scratch(size);
  if (old_size) __builtin_memcpy(block, old, old_size < size ? old_size : size);
  return block;
}

/* Compilers call these for copies they make themselves. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  __builtin_memcpy(to, from, size);
  return to;
}
void *memmove(void *to, const void *from, size_t size) {
  __builtin_memmove(to, from, size);
  return to;
}
void *memset(void *to, int byte, size_t size) {
  __builtin_memset(to, byte, size);
  return to;
}
int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] - y[i];
  return 0;
}

mr_text mr_str(const char *text) {
  uint32_t len = 0;
  while (text[len]) len++;
  return (mr_text){(const uint8_t *)text, len};
}

bool mr_same(mr_text a, mr_text b) { return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0; }
bool mr_is(mr_text text, const char *literal) { return mr_same(text, mr_str(literal)); }

mr_text mr_keep_text(mr_text text) {
  uint8_t *copy = mr_keep(text.len);
  if (text.len) __builtin_memcpy(copy, text.ptr, text.len);
  return (mr_text){copy, text.len};
}

mr_text mr_text_of(const mr_buf *buf) { return (mr_text){buf->ptr, buf->len}; }

void mr_grow(mr_buf *buf, uint32_t more) {
  uint64_t need = (uint64_t)buf->len + more;
  if (need <= buf->cap) return;
  uint64_t cap = (uint64_t)buf->cap * 2;
  if (cap < need) cap = need < 64 ? 64 : need;
  uint8_t *ptr = mr_scratch(cap);
  if (buf->len) __builtin_memcpy(ptr, buf->ptr, buf->len);
  buf->ptr = ptr;
  buf->cap = cap;
}

void mr_put(mr_buf *buf, mr_text text) {
  mr_grow(buf, text.len);
  if (text.len) __builtin_memcpy(buf->ptr + buf->len, text.ptr, text.len);
  buf->len += text.len;
}

static void print(mr_buf *buf, const char *format, va_list list) {
  for (; *format; format++) {
    uint32_t plain = 0;
    while (format[plain] && format[plain] != '%') plain++;
    mr_put(buf, (mr_text){(const uint8_t *)format, plain});
    format += plain;
    if (!*format) return;
    switch (*++format) {
      case 's': mr_put(buf, mr_str(va_arg(list, const char *))); break;
      case 'T': mr_put(buf, va_arg(list, mr_text)); break;
      case 'd': mr_json_int(buf, va_arg(list, int64_t)); break;
      case 'u': mr_json_uint(buf, va_arg(list, uint64_t)); break;
      case '%': mr_put(buf, MR_TEXT("%")); break;
      default: mr_panic("mr_print: only %s %T %d %u %% are known");
    }
  }
}

void mr_print(mr_buf *buf, const char *format, ...) {
  va_list list;
  va_start(list, format);
  print(buf, format, list);
  va_end(list);
}

mr_error mr_fail(const char *message) { return mr_str(message); }

mr_error mr_failf(const char *format, ...) {
  mr_buf buf = {0};
  va_list list;
  mr_grow(&buf, 64);
  va_start(list, format);
  print(&buf, format, list);
  va_end(list);
  return mr_text_of(&buf);
}

void mr_log(int level, mr_text message) { import_log(level, message.ptr, message.len); }
void mr_count(mr_text name, uint64_t by) { import_add(name.ptr, name.len, by); }

_Noreturn void mr_panic(const char *message) {
  mr_log(MR_ERROR, mr_str(message));
  __builtin_trap();
}
