"""Write arguments of a Redis command as Redis reads them: a line with the length, the bytes, and the end of a line."""

from tidecast.arrays import Bytes
from tidecast.online.kernels.decorators import part_exactly

LINE = b"\r\n"
_ZERO, _DOLLAR = b"0$"
_RETURN, _NEWLINE = LINE


def arguments_in(packed: bytes) -> list[bytes]:
    """Return the arguments that were written one after the other."""
    arguments = []
    at = 0
    while at < len(packed):
        begin = packed.index(LINE, at) + len(LINE)
        end = begin + int(packed[at + 1 : begin - len(LINE)])
        arguments.append(packed[begin:end])
        at = end + len(LINE)
    return arguments


@part_exactly
def put_length(length: int, into: Bytes, at: int) -> int:
    """Write the line that announces so many bytes; return the place after it."""
    into[at] = _DOLLAR
    return put_line_end(into, put_decimal(length, into, at + 1))


@part_exactly
def put_line_end(into: Bytes, at: int) -> int:
    """Write the end of a line; return the place after it."""
    into[at] = _RETURN
    into[at + 1] = _NEWLINE
    return at + 2


@part_exactly
def digits_of(number: int) -> int:
    """Return the number of decimal digits."""
    digits = 1
    while number >= 10:
        number //= 10
        digits += 1
    return digits


@part_exactly
def put_decimal(number: int, into: Bytes, at: int) -> int:
    """Write a number as decimal text; return the place after it."""
    end = at + digits_of(number)
    for place in range(end - 1, at - 1, -1):
        into[place] = _ZERO + number % 10
        number //= 10
    return end
