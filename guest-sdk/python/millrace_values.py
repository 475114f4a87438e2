"""Typed reading of canonical cell text. Nothing is rounded: what does not fit is None and the text stays at hand."""

import re

_WHOLE = re.compile(r"-?[0-9]+")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
    r"(?:([+-])([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}))?)?)?"
)


def whole_number(text: str) -> int | None:
    """A whole number of 64 bits."""
    if not _WHOLE.fullmatch(text) or len(text) > 400:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def is_json_number(text: str) -> bool:
    """Whether the text is a number as JSON writes one, of any precision, so that it can be copied. NaN and Infinity are none."""
    return _JSON_NUMBER.fullmatch(text) is not None


def boolean(text: str) -> bool | None:
    """A boolean."""
    return {"true": True, "false": False}.get(text)


def binary(text: str) -> bytes | None:
    """The bytes of a binary value, whose text is hexadecimal digits."""
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def timestamp(text: str) -> int | None:
    """Microseconds since the Unix epoch; UTC where the text has no offset. None outside years 1 to 9999."""
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, *zone = match.groups()[6:]
    hours, minutes, seconds = (int(part or 0) for part in zone)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = 28 + leap if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= days or hour > 23 or minute > 59 or second > 59:
        return None
    if (zone[1] is not None and hours > 23) or minutes > 59 or seconds > 59:
        return None
    # Howard Hinnant's days_from_civil: years begin in March, so that the day that comes and goes is the last.
    year -= month <= 2
    of_era = year % 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    since = year // 400 * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    offset = (hours * 60 + minutes) * 60 + seconds
    total = since * 86400 + (hour * 60 + minute) * 60 + second - (-offset if sign == "-" else offset)
    return total * 1_000_000 + int((fraction or "").ljust(6, "0"))
