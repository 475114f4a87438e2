/* Writing JSON: copies and scans sixteen bytes a step. */
#include <wasm_simd128.h>

#include "millrace.h"

bool mr_utf8(mr_text text) {
  const uint8_t *p = text.ptr, *end = p + text.len;
  while (p < end) {
    uint8_t lead = *p;
    if (lead < 0x80) {
      p++;
      continue;
    }
    int more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (more == 0 || end - p <= more) return false;
    for (int i = 1; i <= more; i++)
      if ((p[i] & 0xc0) != 0x80) return false;
    /* Too long a form, a surrogate, beyond U+10FFFF. */
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) || (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
      return false;
    p += 1 + more;
  }
  return true;
}

static uint32_t escape(uint8_t *to, uint8_t byte) {
  static const char hex[] = "0123456789abcdef";
  static const char shorts[] = "btn\0fr";
  to[0] = '\\';
  if (byte == '"' || byte == '\\') {
    to[1] = byte;
    return 2;
  }
  if (byte >= 8 && byte <= 13 && byte != 11) {
    to[1] = shorts[byte - 8];
    return 2;
  }
  to[1] = 'u', to[2] = to[3] = '0', to[4] = hex[byte >> 4], to[5] = hex[byte & 15];
  return 6;
}

/* Appends the text with escapes, without quotes. The buffer keeps 16 bytes to spare (mr_grow), and so does every block that a text can
 * lie in, so whole steps are read and written. */
static inline bool escaped(mr_buf *out, mr_text text) {
  mr_grow(out, text.len + 16);
  uint8_t *to = out->ptr + out->len;
  const uint8_t *from = text.ptr;
  uint32_t left = text.len;
  v128_t seen = wasm_i8x16_splat(0);
  while (left) {
    v128_t step = wasm_v128_load(from);
    v128_t special = wasm_v128_or(wasm_u8x16_lt(step, wasm_i8x16_splat(0x20)),
                                  wasm_v128_or(wasm_i8x16_eq(step, wasm_i8x16_splat('"')), wasm_i8x16_eq(step, wasm_i8x16_splat('\\'))));
    uint32_t mask = wasm_i8x16_bitmask(special), take = left < 16 ? left : 16;
    wasm_v128_store(to, step);
    if (left < 16) {
      mask &= (1u << left) - 1;
      /* What stands behind the text is not judged. */
      if (wasm_i8x16_bitmask(step) & ((1u << left) - 1)) seen = wasm_i8x16_splat(-1);
    } else {
      seen = wasm_v128_or(seen, step);
    }
    if (!mask) {
      to += take, from += take, left -= take;
      continue;
    }
    uint32_t plain = __builtin_ctz(mask);
    to += plain;
    to += escape(to, from[plain]);
    from += plain + 1, left -= plain + 1;
    /* An escape is up to five bytes longer than what it stands for. */
    out->len = to - out->ptr;
    mr_grow(out, left + 16);
    to = out->ptr + out->len;
  }
  out->len = to - out->ptr;
  return !wasm_i8x16_bitmask(seen) || mr_utf8(text);
}

static inline void byte(mr_buf *out, uint8_t value) {
  mr_grow(out, 1);
  out->ptr[out->len++] = value;
}

bool mr_json_string(mr_buf *out, mr_text text) {
  byte(out, '"');
  bool utf8 = escaped(out, text);
  byte(out, '"');
  return utf8;
}

void mr_json_uint(mr_buf *out, uint64_t value) {
  uint8_t digits[20];
  uint32_t at = sizeof digits;
  do digits[--at] = '0' + value % 10;
  while (value /= 10);
  mr_put(out, (mr_text){digits + at, sizeof digits - at});
}

void mr_json_int(mr_buf *out, int64_t value) {
  if (value < 0) byte(out, '-');
  mr_json_uint(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

mr_members mr_members_of(const mr_relation *table) {
  mr_members members = {mr_keep(table->columns.len * sizeof(mr_text)), table->columns.len};
  for (uint32_t i = 0; i < members.len; i++) {
    mr_buf name = {0};
    byte(&name, ',');
    /* The host checked that names are UTF-8. */
    mr_json_string(&name, table->columns.ptr[i].name);
    byte(&name, ':');
    members.names[i] = mr_keep_text(mr_text_of(&name));
  }
  return members;
}

/* For short texts whose block has bytes to spare: copies whole steps. */
static inline void steps(mr_buf *out, mr_text text) {
  mr_grow(out, text.len + 16);
  uint8_t *to = out->ptr + out->len;
  for (uint32_t i = 0; i < text.len; i += 16) wasm_v128_store(to + i, wasm_v128_load(text.ptr + i));
  out->len += text.len;
}

int32_t mr_json_object(mr_buf *out, const mr_members *members, const mr_image *image) {
  uint32_t opening = out->len;
  for (uint32_t i = 0; i < members->len; i++) {
    mr_cell cell = mr_get(image, i);
    if (cell.kind == MR_UNSENT) continue;
    steps(out, members->names[i]);
    if (cell.kind == MR_NULL) {
      steps(out, MR_TEXT("null\0\0\0\0\0\0\0\0\0\0\0\0"));
      out->len -= 12;
      continue;
    }
    byte(out, '"');
    if (!escaped(out, cell.text)) return i;
    byte(out, '"');
  }
  /* The comma of the first becomes the opening brace. */
  if (out->len == opening) byte(out, '{');
  else out->ptr[opening] = '{';
  byte(out, '}');
  return -1;
}
