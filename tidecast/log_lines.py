"""Format the fields of a log line, whatever their values are: as a JSON object, or as text for a terminal."""

import json
from collections.abc import Mapping
from typing import Any

_UNSHOWN = "(cannot be shown)"
_FIRST = ("timestamp", "level", "event", "exception")  # fields with a place of their own in text


def as_json(fields: Mapping[str, Any]) -> str:
    """Return the fields as a JSON object; a value that JSON lacks becomes its text."""
    try:
        return json.dumps(fields, default=text_of, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a cycle, NaN, a key that is not text
        return json.dumps({name: value if _fits(value) else text_of(value) for name, value in fields.items()})


def as_text(fields: Mapping[str, Any]) -> str:
    """Return the fields as `2026-03-01T03:00:10Z info    worker stopped  worker=w1`; a traceback has its own lines."""
    time = str(fields.get("timestamp", ""))[:19]
    more = "".join(f"  {name}={_word(value)}" for name, value in fields.items() if name not in _FIRST)
    line = f"{time}Z {fields.get('level', ''):7} {plain(fields.get('event', ''))}{more}"
    return f"{line}\n{fields['exception']}" if "exception" in fields else line


def text_of(value: object) -> str:
    """Return a value's text, without exceptions."""
    try:
        return repr(value)
    except Exception:
        return f"{type(value).__name__} {_UNSHOWN}"


def _fits(value: object) -> bool:
    try:
        json.dumps(value, default=text_of, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _word(value: object) -> str:
    """Return a value, in quotes unless it is a number or one word."""
    text = value if isinstance(value, str) else text_of(value)
    plain = text.isprintable() and not any(sign in text for sign in " ='\"")
    return text if text and plain else text_of(text)


def plain(value: object) -> str:
    """Return a text as it is if a terminal can show it in one line."""
    text = value if isinstance(value, str) else text_of(value)
    return text if text.isprintable() else text_of(text)
