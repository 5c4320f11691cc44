"""The definition of a number, on the wire and in files: a finite decimal number that fits into a float32."""

import math
import re
from collections.abc import Sequence

import numpy as np
import orjson

from tidecast.arrays import Float

LONGEST = 64  # bytes of a number's text
LARGEST = 3.4028234663852886e38  # of float32: a network cannot read a larger value
FORM = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_CHARACTERS = b"0123456789+-.eE,"  # of decimal numbers, and the comma that separates them


def number_of(text: bytes) -> float:
    """Parse one number strictly: forms that other parsers may read differently are refused; NaN if it is not one."""
    if len(text) > LONGEST or not FORM.fullmatch(text):
        return math.nan
    value = float(text)
    return value if abs(value) <= LARGEST else math.nan


def numbers_of(texts: Sequence[bytes]) -> Float:
    """Parse many numbers as `number_of` parses each: `(texts,)`, NaN for texts that are not numbers.

    Usual numbers are parsed together, nine times as fast as one by one.
    """
    if texts and max(map(len, texts)) <= LONGEST:
        numbers = usual_numbers(b",".join(texts), len(texts))
        if numbers is not None:
            return numbers
    return np.array([number_of(text) for text in texts])


def usual_numbers(joined: bytes, count: int) -> Float | None:
    """Parse comma-separated numbers together, as exactly as `float`.

    Args:
        joined: the texts of the numbers, none longer than `LONGEST`, separated by commas only.
        count: the number of texts.

    Returns:
        `(count,)` the numbers; None if any may not be a number, or has a rare form, such as `.5` or `007`.
    """
    if not joined or joined.translate(None, _CHARACTERS) or joined.count(b",") != count - 1:
        return None
    if b"-0," in joined or joined.endswith(b"-0"):  # the parser reads it as an integer, which loses the sign of zero
        return None
    try:
        numbers = np.array(orjson.loads(b"[%b]" % joined), np.float64)
    except orjson.JSONDecodeError:
        return None
    return numbers if numbers.min() >= -LARGEST and numbers.max() <= LARGEST else None
