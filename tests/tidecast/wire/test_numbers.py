"""Many numbers and times are read at once as each of them alone, to the last bit."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.chaos.fuzz import EDGES, NO_NUMBERS, NO_TIMES
from tidecast.errors import BadReading
from tidecast.wire.numbers import number_of, numbers_of
from tidecast.wire.parsing import NEEDS_A_LOOK, parse_time, times_of

NOW_MS = 1_700_000_000_000
PLAIN = [b"1", b"42.10", b"-0.5", b"0.1", b"123456789012.345", b"999999999999999", b"1e3", b"-1.5E-3"]
RARE = [b"-0", b"-.5", b"5.", b"+1", b"007", b"1e-0", b"9" * 40]
ODD = [*EDGES, *(raw for raw in NO_NUMBERS if raw is not None)]
ODD += [b"1\x00", b"\x001", b"--1", b"1-", b"-", b".", b"1.2.3", b"1,2", b",", b"[1", b"1]", b" 1", b"null", b"true"]
_decimals = st.decimals(-(10**8), 10**8, allow_nan=False, places=6).map(lambda x: str(x).encode())
_texts = st.one_of(_decimals, st.floats().map(lambda x: repr(x).encode()), st.binary(max_size=6))


def time(raw: bytes) -> int:
    """Read an epoch alone; `NEEDS_A_LOOK` where that fails."""
    try:
        return parse_time(raw, NOW_MS) if raw.lstrip(b"-").isdigit() else NEEDS_A_LOOK
    except BadReading:
        return NEEDS_A_LOOK


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.one_of(st.lists(_decimals, min_size=1), st.lists(_texts, min_size=1)))
@example(PLAIN)
@example(PLAIN + RARE)
def test_many_numbers_are_read_as_each_alone(column: list[bytes]) -> None:
    """One grammar: also the sign of zero, and NaN for a text that is not a number."""
    numbers = numbers_of(column)
    expected = list(map(number_of, column))
    np.testing.assert_array_equal(expected, numbers)
    np.testing.assert_array_equal(np.signbit(expected), np.signbit(numbers))


@pytest.mark.parametrize("odd", [*ODD, *RARE], ids=lambda raw: repr(raw[:20]))
def test_an_odd_number_among_plain_ones_is_noticed(odd: bytes) -> None:
    """Wherever it stands; the others are read as before."""
    for column in ([odd], [*PLAIN, odd], [odd, *PLAIN]):
        np.testing.assert_array_equal(list(map(number_of, column)), numbers_of(column))


@pytest.mark.parametrize(
    "odd",
    [
        *(raw for raw in NO_TIMES if raw is not None),
        *(b"0", b"-5", b"1000000000", b"4999999999", b"5000000000", b"1700086400001", b"1" * 16),
        *(b"1700000000000.", b"1\x00", b"01700000000000", b"1700000000000,1"),
    ],
)
def test_an_odd_time_among_plain_ones_is_noticed(odd: bytes) -> None:
    """Seconds, the future, another form: each needs the closer look."""
    for column in ([odd], [b"1700000000000", b"1699999999999", odd]):
        assert list(map(time, column)) == times_of(column, NOW_MS)
    assert [NOW_MS, NOW_MS + 86_400_000] == times_of([b"1700000000000", b"1700086400000"], NOW_MS)
