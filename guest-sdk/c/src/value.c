/* Typed reading of canonical cell text. Nothing is rounded: what does not fit is refused and the text stays at hand. */
#include "millrace.h"

static bool digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

bool mr_whole_number(mr_text text, int64_t *value) {
  uint32_t at = text.len && text.ptr[0] == '-';
  bool negative = at;
  if (at == text.len) return false;
  /* Downwards, since the least number has no positive counterpart. */
  int64_t number = 0;
  for (; at < text.len; at++) {
    if (!digit(text.ptr[at])) return false;
    if (number < INT64_MIN / 10 || __builtin_sub_overflow(number * 10, text.ptr[at] - '0', &number)) return false;
  }
  if (!negative && __builtin_sub_overflow(0, number, &number)) return false;
  *value = number;
  return true;
}

static uint32_t digits(mr_text text, uint32_t at) {
  uint32_t from = at;
  while (at < text.len && digit(text.ptr[at])) at++;
  return at - from;
}

bool mr_is_json_number(mr_text text) {
  uint32_t at = text.len && text.ptr[0] == '-', count = digits(text, at);
  if (count == 0 || (count > 1 && text.ptr[at] == '0')) return false;
  at += count;
  if (at < text.len && text.ptr[at] == '.') {
    count = digits(text, at + 1);
    if (count == 0) return false;
    at += 1 + count;
  }
  if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
    at++;
    if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-')) at++;
    count = digits(text, at);
    if (count == 0) return false;
    at += count;
  }
  return at == text.len;
}

bool mr_boolean(mr_text text, bool *value) {
  *value = mr_is(text, "true");
  return *value || mr_is(text, "false");
}

static int nibble(uint8_t byte) {
  if (digit(byte)) return byte - '0';
  byte |= 0x20;
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool mr_bytes(mr_text text, mr_text *value) {
  if (text.len % 2) return false;
  uint8_t *bytes = mr_scratch(text.len / 2);
  for (uint32_t i = 0; i < text.len; i += 2) {
    int high = nibble(text.ptr[i]), low = nibble(text.ptr[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i / 2] = high << 4 | low;
  }
  *value = (mr_text){bytes, text.len / 2};
  return true;
}

/* Exactly `count` digits at `*at`, which moves behind them. */
static bool number(mr_text text, uint32_t *at, uint32_t count, int64_t *value) {
  *value = 0;
  for (uint32_t end = *at + count; *at < end; (*at)++) {
    if (*at >= text.len || !digit(text.ptr[*at])) return false;
    *value = *value * 10 + (text.ptr[*at] - '0');
  }
  return true;
}

static bool skip(mr_text text, uint32_t *at, uint8_t byte) {
  if (*at >= text.len || text.ptr[*at] != byte) return false;
  (*at)++;
  return true;
}

/* HH:MM:SS in seconds. */
static bool clock(mr_text text, uint32_t *at, int64_t *seconds) {
  int64_t h, m, s;
  if (!number(text, at, 2, &h) || !skip(text, at, ':') || !number(text, at, 2, &m) || !skip(text, at, ':') || !number(text, at, 2, &s))
    return false;
  *seconds = (h * 60 + m) * 60 + s;
  return h < 24 && m < 60 && s < 60;
}

/* HH, HH:MM or HH:MM:SS up to the end, in seconds. */
static bool offset(mr_text text, uint32_t at, int64_t *seconds) {
  int64_t h, m = 0;
  switch (text.len - at) {
    case 2: if (!number(text, &at, 2, &h)) return false; break;
    case 5: if (!number(text, &at, 2, &h) || !skip(text, &at, ':') || !number(text, &at, 2, &m) || h > 23 || m > 59) return false; break;
    case 8: return clock(text, &at, seconds);
    default: return false;
  }
  *seconds = (h * 60 + m) * 60;
  return true;
}

bool mr_timestamp(mr_text text, int64_t *micros) {
  int64_t year, month, day, seconds, fraction = 0, zone = 0;
  uint32_t at = 0;
  if (!number(text, &at, 4, &year) || !skip(text, &at, '-') || !number(text, &at, 2, &month) || !skip(text, &at, '-') ||
      !number(text, &at, 2, &day) || !skip(text, &at, ' ') || !clock(text, &at, &seconds))
    return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  bool short_month = month == 4 || month == 6 || month == 9 || month == 11;
  int64_t days = month == 2 ? 28 + leap : short_month ? 30 : 31;
  if (year == 0 || month < 1 || month > 12 || day < 1 || day > days) return false;
  if (skip(text, &at, '.')) {
    uint32_t places = digits(text, at);
    if (places == 0 || places > 6 || !number(text, &at, places, &fraction)) return false;
    for (; places < 6; places++) fraction *= 10;
  }
  if (at < text.len) {
    bool west = text.ptr[at] == '-';
    if ((!west && text.ptr[at] != '+') || !offset(text, at + 1, &zone)) return false;
    if (west) zone = -zone;
  }
  /* Howard Hinnant's days_from_civil: years begin in March, so that the day that comes and goes is the last. */
  year -= month <= 2;
  int64_t of_era = year % 400, of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  int64_t since = year / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
  *micros = (since * 86400 + seconds - zone) * 1000000 + fraction;
  return true;
}
