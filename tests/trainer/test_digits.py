"""Columns of digits are read as the wire reads them, to the last bit."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.chaos.fuzz import EDGES, NO_NUMBERS, NO_TIMES
from tidecast.parsing import NEEDS_A_LOOK, parse_plain
from trainer.digits import numbers_of, times_of

NOW_MS = 1_700_000_000_000
PLAIN = [b"1", b"-0", b"42.10", b"-.5", b"5.", b"0.1", b"123456789012.345", b"999999999999999"]
ODD = [*EDGES, *(raw for raw in NO_NUMBERS if raw is not None), b"1\x00", b"\x001", b"--1", b"1-", b"-", b".", b"1.2.3"]
_decimals = st.decimals(-(10**8), 10**8, allow_nan=False, places=6).map(lambda x: str(x).encode())
_texts = st.one_of(_decimals, st.floats().map(lambda x: repr(x).encode()), st.binary(max_size=6))


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.one_of(st.lists(_decimals, min_size=1), st.lists(_texts, min_size=1)))
@example(PLAIN)
def test_numbers_are_those_of_the_wire(column: list[bytes]) -> None:
    """Also the sign of zero, and NaN where one needs a look."""
    expected = np.array(parse_plain(column, [b"0"], NOW_MS)[0])
    found = numbers_of(column, NOW_MS)
    assert np.array_equal(expected, found, equal_nan=True)
    assert np.array_equal(np.signbit(expected), np.signbit(found))


@pytest.mark.parametrize("odd", ODD, ids=lambda raw: repr(raw[:20]))
def test_one_odd_number_among_plain_ones_is_found(odd: bytes) -> None:
    """Wherever it stands."""
    for column in ([odd], [*PLAIN, odd], [odd, *PLAIN]):
        expected = np.array(parse_plain(column, [b"0"], NOW_MS)[0])
        assert np.array_equal(expected, numbers_of(column, NOW_MS), equal_nan=True)


@pytest.mark.parametrize(
    "odd",
    [
        *NO_TIMES,
        b"0",
        b"-5",
        b"1000000000",
        b"4999999999",
        b"5000000000",
        b"1700086400001",
        b"1700000000000.",
        b"1\x00",
    ],
)
def test_times_are_those_of_the_wire(odd: bytes) -> None:
    """Alone, and among plain ones."""
    for column in ([odd], [b"1700000000000", b"1699999999999", odd]):
        assert parse_plain([b"0"], column, NOW_MS)[1] == times_of(column, NOW_MS).tolist()
    assert [NOW_MS, NOW_MS + 86_400_000] == times_of([b"1700000000000", b"1700086400000"], NOW_MS).tolist()
    assert [NEEDS_A_LOOK] == times_of([b"1700086400001"], NOW_MS).tolist()
