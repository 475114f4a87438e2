/* Reading JSON: the config. A tree in memory that is kept; strict, with a limit on depth. */
#include "millrace.h"

#define DEPTH 32

typedef struct {
  const uint8_t *at, *end;
} reader;

static void space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(reader *r, const char *word) {
  mr_text text = mr_str(word);
  if ((uint32_t)(r->end - r->at) < text.len || !mr_same(text, (mr_text){r->at, text.len})) return false;
  r->at += text.len;
  return true;
}

static bool hex(reader *r, uint32_t *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    if (r->at == r->end) return false;
    uint8_t byte = *r->at, low = byte | 0x20;
    if (byte >= '0' && byte <= '9') *code = *code << 4 | (byte - '0');
    else if (low >= 'a' && low <= 'f') *code = *code << 4 | (low - 'a' + 10);
    else return false;
  }
  return true;
}

static void utf8(mr_buf *out, uint32_t code) {
  uint8_t bytes[4];
  uint32_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (uint32_t i = len - 1; i > 0; i--, code >>= 6) bytes[i] = 0x80 | (code & 0x3f);
  static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  bytes[0] = leads[len] | code;
  mr_put(out, (mr_text){bytes, len});
}

static bool string(reader *r, mr_text *text) {
  mr_buf out = {0};
  mr_grow(&out, 1);
  if (!take(r, "\"")) return false;
  for (;;) {
    if (r->at == r->end || *r->at < 0x20) return false;
    uint8_t byte = *r->at++;
    if (byte == '"') break;
    if (byte != '\\') {
      mr_put(&out, (mr_text){&byte, 1});
      continue;
    }
    if (r->at == r->end) return false;
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t code = 0, low;
    byte = *r->at++;
    if (byte == 'u') {
      if (!hex(r, &code) || (code >= 0xdc00 && code < 0xe000)) return false;
      if (code >= 0xd800 && code < 0xdc00) {
        if (!take(r, "\\u") || !hex(r, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
      }
    } else {
      for (int i = 0; i < 8; i++)
        if (from[i] == byte) code = to[i];
      if (!code) return false;
    }
    utf8(&out, code);
  }
  *text = mr_keep_text(mr_text_of(&out));
  return true;
}

static bool value(reader *r, mr_json *json, int depth);

/* Elements of an array, or members of an object, behind its bracket. */
static bool items(reader *r, mr_json *json, int depth, bool named) {
  const char *close = named ? "}" : "]";
  mr_json *list = 0;
  uint32_t cap = 0;
  space(r);
  while (!take(r, close)) {
    if (json->len && !take(r, ",")) return false;
    if (json->len == cap) {
      cap = cap ? cap * 2 : 8;
      mr_json *more = mr_keep(cap * sizeof *more);
      for (uint32_t i = 0; i < json->len; i++) more[i] = list[i];
      list = more;
    }
    mr_json *item = &list[json->len++];
    *item = (mr_json){0};
    space(r);
    if (named) {
      if (!string(r, &item->name)) return false;
      space(r);
      if (!take(r, ":")) return false;
    }
    if (!value(r, item, depth)) return false;
    space(r);
  }
  json->items = list;
  return true;
}

static bool value(reader *r, mr_json *json, int depth) {
  if (depth == 0) return false;
  space(r);
  if (r->at == r->end) return false;
  if (take(r, "null")) json->kind = MR_JSON_NULL;
  else if (take(r, "false")) json->kind = MR_JSON_FALSE;
  else if (take(r, "true")) json->kind = MR_JSON_TRUE;
  else if (*r->at == '"') {
    json->kind = MR_JSON_STRING;
    return string(r, &json->text);
  } else if (take(r, "[")) {
    json->kind = MR_JSON_ARRAY;
    return items(r, json, depth - 1, false);
  } else if (take(r, "{")) {
    json->kind = MR_JSON_OBJECT;
    return items(r, json, depth - 1, true);
  } else {
    const uint8_t *from = r->at;
    while (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || mr_same((mr_text){r->at, 1}, MR_TEXT("-")) || *r->at == '+' ||
                              *r->at == '.' || (*r->at | 0x20) == 'e'))
      r->at++;
    json->kind = MR_JSON_NUMBER;
    json->text = mr_keep_text((mr_text){from, r->at - from});
    return mr_is_json_number(json->text);
  }
  return true;
}

const mr_json *mr_json_read(mr_text text) {
  reader r = {text.ptr, text.ptr + text.len};
  mr_json *json = mr_keep(sizeof *json);
  *json = (mr_json){0};
  space(&r);
  if (r.at == r.end) {
    json->kind = MR_JSON_OBJECT;
    return json;
  }
  if (!mr_utf8(text) || !value(&r, json, DEPTH)) return 0;
  space(&r);
  return r.at == r.end ? json : 0;
}

const mr_json *mr_json_member(const mr_json *json, const char *name) {
  if (!json || json->kind != MR_JSON_OBJECT) return 0;
  for (uint32_t i = 0; i < json->len; i++)
    if (mr_is(json->items[i].name, name)) return &json->items[i];
  return 0;
}
