"""The types of values that settings share: durations, moments, sizes and probabilities."""

import re
import time
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo

from tidecast.durations import DURATION_FORMS, seconds_of
from tidecast.errors import SettingsError
from tidecast.moments import MOMENT_FORMS, moment_ms

NEVER = "never"
SHORTEST_PERIOD_S = 1.0
SIZE_FORMS = "write a size such as 64KB, 16MB or 4GB, or a plain number of bytes"
_SIZE = re.compile(r"([0-9]{1,15})(B|KB|MB|GB)?")
_BYTES = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}


def as_written(text: str) -> Any:
    """Return a default value in the form that a user writes; pydantic parses it, and the reference shows it."""
    return text


def no_truth(value: object, field: FieldInfo) -> object:
    """Return a value; refuse true and false, which pydantic reads as 1 and 0, unless the setting is a bool."""
    if isinstance(value, bool) and field.annotation not in (bool, bool | None):
        raise ValueError("write another value than true or false")
    return value


def check_namespace(value: str) -> str:
    """Return a prefix of keys unchanged.

    Raises:
        ValueError: the prefix has other characters than letters, digits, `_`, `.` and `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", value):
        raise ValueError("use letters, digits and the signs _ . - only")
    return value


def _duration(value: object) -> object:
    """Convert the text of a duration to seconds; a number is one already."""
    if isinstance(value, str):
        return _parsed(value, seconds_of)
    return _number(value, DURATION_FORMS)


def _period(value: object) -> object:
    """Convert the text of a duration to seconds, a second or more; `never` stays."""
    if value == NEVER:
        return value
    try:
        seconds = _duration(value)
    except ValueError as exc:
        raise ValueError(f'{exc}, or "{NEVER}"') from exc
    if not isinstance(seconds, int | float) or not seconds >= SHORTEST_PERIOD_S:
        raise ValueError("set at least 1s")
    return seconds


def _moment(value: object) -> object:
    """Check that a value is a time in the past; a date of TOML is converted to text."""
    text = value.isoformat() if isinstance(value, date) else value
    if not isinstance(text, str):
        raise ValueError(MOMENT_FORMS)
    _parsed(text, lambda given: moment_ms(given, time.time_ns() // 1_000_000))
    return text


def _size(value: object) -> object:
    """Convert the text of a size to bytes; a number is one already."""
    if not isinstance(value, str):
        return _number(value, SIZE_FORMS)
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"which is not a size: {SIZE_FORMS}")
    return int(match[1]) * _BYTES[match[2] or ""]


def _number(value: object, forms: str) -> object:
    if not isinstance(value, int | float):
        raise ValueError(forms)
    return value


def _parsed(text: str, parse: Callable[[str], object]) -> object:
    """Return the parsed text.

    Raises:
        ValueError: the text cannot be parsed; the message has the reason and the remedy.
    """
    try:
        return parse(text)
    except SettingsError as exc:
        raise ValueError(f"which{str(exc).partition(repr(text))[2]}") from exc


def _scheduler(value: str) -> str:
    """Return the address of a scheduler of Dask unchanged; empty without one.

    Raises:
        ValueError: it is not an address.
    """
    if value and not re.fullmatch(r"(tcp|tls)://[^\s/@]+:[0-9]{1,5}", value):
        raise ValueError("write tcp:// or tls://, a host and a port, such as tcp://scheduler:8786")
    return value


def _bucket(value: str) -> str:
    """Return the address of a bucket unchanged; empty without one.

    Raises:
        ValueError: it is not an address, or contains a key.
    """
    if value and not re.fullmatch(r"(s3|gs|az)://[^\s/@?:]+(/[^\s@?:]*)?", value):
        raise ValueError(
            "write s3://, a bucket and a prefix, such as s3://models/plant; keys belong in the environment"
        )
    return value


Level = Annotated[float, Field(gt=0, lt=1)]
Duration = Annotated[float, BeforeValidator(_duration)]  # seconds
Period = Annotated[float | Literal["never"], BeforeValidator(_period)]  # seconds
Moment = Annotated[str, BeforeValidator(_moment)]
Size = Annotated[int, BeforeValidator(_size)]  # bytes
BucketAddress = Annotated[str, AfterValidator(_bucket)]
SchedulerAddress = Annotated[str, AfterValidator(_scheduler)]
