/* Writing JSON: copies and scans sixteen bytes a step. */
#include <wasm_simd128.h>

#include "millrace.h"

bool mr_utf8(mr_text text) {
  const uint8_t *p = text.ptr, *end = p + text.len;
  while (p < end) {
    if (end - p >= 16 && !wasm_i8x16_bitmask(wasm_v128_load(p))) {
      p += 16;
      continue;
    }
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
  mr_members members = {mr_keep(table->columns.len * sizeof(mr_text)), table->columns.len, 0};
  for (uint32_t i = 0; i < members.len; i++) {
    mr_buf name = {0};
    byte(&name, ',');
    /* The host checked that names are UTF-8. */
    mr_json_string(&name, table->columns.ptr[i].name);
    mr_put(&name, MR_TEXT(":\""));
    members.names[i] = mr_keep_text(mr_text_of(&name));
    members.bytes += name.len;
  }
  return members;
}

/* Copies whole steps; the text's block has bytes to spare, and so has what `to` points into. */
static inline uint8_t *steps(uint8_t *to, mr_text text) {
  for (uint32_t i = 0; i < text.len; i += 16) wasm_v128_store(to + i, wasm_v128_load(text.ptr + i));
  return to + text.len;
}

/* Copies a text without escapes; null where it has something to escape, or is not ASCII. */
static inline uint8_t *plain(uint8_t *to, const uint8_t *from, uint32_t left) {
  v128_t bad = wasm_i8x16_splat(0), quote = wasm_i8x16_splat('"'), slash = wasm_i8x16_splat('\\'), low = wasm_i8x16_splat(0x20);
  /* Signed: bytes beyond ASCII are below the space, too. */
#define JUDGED(step) wasm_v128_or(wasm_i8x16_lt(step, low), wasm_v128_or(wasm_i8x16_eq(step, quote), wasm_i8x16_eq(step, slash)))
  for (; left >= 16; left -= 16, from += 16, to += 16) {
    v128_t step = wasm_v128_load(from);
    wasm_v128_store(to, step);
    bad = wasm_v128_or(bad, JUDGED(step));
  }
  v128_t step = wasm_v128_load(from);
  wasm_v128_store(to, step);
  /* What stands behind the text is not judged. */
  uint32_t rest = wasm_i8x16_bitmask(JUDGED(step)) & ((1u << left) - 1);
#undef JUDGED
  return rest || wasm_v128_any_true(bad) ? 0 : to + left;
}

int32_t mr_json_object(mr_buf *out, const mr_members *members, const mr_image *image) {
  static const uint8_t null[16] = "null";
  uint32_t cells = members->len < image->cells ? members->len : image->cells, opening = out->len;
  const uint32_t *ends = image->batch->ends.ptr + image->first;
  const uint8_t *data = image->batch->data.ptr;
  uint32_t start = image->first ? ends[-1] & MR_END : 0;
  /* Room for the whole row, were all of it plain: names, quotes, null, a last step. */
  uint32_t need = (cells ? (ends[cells - 1] & MR_END) - start : 0) + members->bytes + 8 * cells + 32;
  mr_grow(out, need);
  uint8_t *to = out->ptr + opening;
  for (uint32_t i = 0; i < cells; i++) {
    uint32_t end = ends[i];
    mr_text name = members->names[i], text = {data + start, (end & MR_END) - start};
    start = end & MR_END;
    if (end & MR_END_UNSENT) continue;
    to = steps(to, name);
    if (end & MR_END_NULL) {
      wasm_v128_store(--to, wasm_v128_load(null));
      to += 4;
      continue;
    }
    uint8_t *behind = plain(to, text.ptr, text.len);
    if (!behind) {
      out->len = to - out->ptr;
      if (!escaped(out, text)) return i;
      mr_grow(out, need);
      behind = out->ptr + out->len;
    }
    *behind = '"';
    to = behind + 1;
  }
  out->len = to - out->ptr;
  /* The comma of the first becomes the opening brace. */
  if (out->len == opening) byte(out, '{');
  else out->ptr[opening] = '{';
  byte(out, '}');
  return -1;
}
