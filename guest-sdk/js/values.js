// Typed reading of canonical cell text. Nothing is rounded: what does not fit is undefined and the text stays at hand.

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;
const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?)?$/;

/** A whole number of 64 bits, as BigInt. */
export function wholeNumber(text) {
  if (!/^-?[0-9]+$/.test(text)) return undefined;
  const number = BigInt(text);
  return number < MIN || number > MAX ? undefined : number;
}

/** Whether the text is a number as JSON writes one, of any precision, so that it can be copied. NaN and Infinity are none. */
export function isJsonNumber(text) {
  return /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/.test(text);
}

export function boolean(text) {
  return text === 'true' ? true : text === 'false' ? false : undefined;
}

/** The bytes of a binary value, whose text is hexadecimal digits. */
export function bytes(text) {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** Microseconds since the Unix epoch as BigInt; UTC where the text has no offset. Undefined outside years 1 to 9999. */
export function timestamp(text) {
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const [zoneHours, zoneMinutes, zoneSeconds] = match.slice(9, 12).map((part) => Number(part ?? 0));
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 ? 28 + leap : [4, 6, 9, 11].includes(month) ? 30 : 31;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days || hour > 23 || minute > 59 || second > 59) return undefined;
  if ((match[10] !== undefined && zoneHours > 23) || zoneMinutes > 59 || zoneSeconds > 59) return undefined;
  // Howard Hinnant's days_from_civil: years begin in March, so that the day that comes and goes is the last.
  const shifted = year - (month <= 2);
  const ofEra = shifted % 400;
  const ofYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const since = Math.floor(shifted / 400) * 146097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear - 719468;
  const zone = (zoneHours * 60 + zoneMinutes) * 60 + zoneSeconds;
  const seconds = since * 86400 + (hour * 60 + minute) * 60 + second - (match[8] === '-' ? -zone : zone);
  return BigInt(seconds) * 1000000n + BigInt((match[7] ?? '').padEnd(6, '0'));
}
