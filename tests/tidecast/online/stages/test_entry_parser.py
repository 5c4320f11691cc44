"""The compiled parser reads plain entries as the strict parser does, and leaves all others to it."""

import math
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model
from tests.tidecast.online.harness import NOW_MS, SPEC, entry, forecaster_with
from tidecast.errors import BadReading
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.entries import ODD, parse_entries
from tidecast.online.raw_entries import RawEntries
from tidecast.online.stages import entry_parser
from tidecast.settings import SeriesSettings
from tidecast.wire import parsing

MANY = SPEC.model_copy(update={"features": ("value", "load"), "target": "value"})
KNOWN = {"a": ("value",), "two": ("value", "load"), "": ("value",)}

numbers = st.one_of(
    st.floats(width=32).map(lambda value: repr(value).encode()),
    st.floats().map(lambda value: repr(value).encode()),
    st.integers(-(10**25), 10**25).map(lambda value: b"%d" % value),
    st.from_regex(rb"\A[+-]?[0-9]{0,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,4})?\Z"),
    st.sampled_from(
        [b"", b"nan", b"inf", b"1_0", b"0x1", b" 1", b"1 ", b"1,5", b"\xff", b"-", b"+.", b"1e", b".5", b"5."]
    ),
)
times = st.one_of(
    st.integers(-(10**6), 2 * NOW_MS).map(lambda ts: b"%d" % ts),
    st.sampled_from(
        [b"", b"0", b"-5", b"20240301", b"1700000000", b"2024-03-01T12:00:00Z", b"1e12", b"00000000000000012"]
    ),
)
fields = st.dictionaries(st.sampled_from([b"load", b"wind", b"time", b"TS"]), numbers, max_size=2)
Fields = dict[bytes, bytes]
readings = st.fixed_dictionaries(
    {}, optional={b"series": st.sampled_from([b"a", b"two", b"new", b"\xff", b""]), b"value": numbers, b"ts": times}
)


def warmed() -> Forecaster:
    """Return a forecaster that knows a series of one feature and one of two."""
    forecaster = forecaster_with(make_model("two", MANY))
    forecaster.handle([entry(1, "a"), entry(2, "two", load=1)], NOW_MS)
    return forecaster


def result_of(entries: list[Entry], *, strictly: bool) -> tuple[object, ...]:
    """Return what becomes of the entries; strictly: no entry is plain."""
    forecaster = warmed()

    def mark_all(*arguments: object) -> None:
        parse_entries(*arguments)
        arguments[-1].series[:] = ODD  # type: ignore[attr-defined] # a `Parsed`

    with mock.patch.object(entry_parser, "parse_entries", mark_all if strictly else parse_entries):
        result = forecaster.handle(entries, NOW_MS)
    return [*result.forecasts], result.dead, result.counts, dict(result.states)


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(st.lists(st.tuples(st.booleans(), readings, fields), min_size=1, max_size=8))
def test_both_parsers_make_the_same_of_every_entry(
    drawn: list[tuple[bool, dict[bytes, bytes], dict[bytes, bytes]]],
) -> None:
    """Numbers in any form, times of any kind, missing, unknown and further fields, with ids ahead of the clock."""
    entries: list[Entry] = []
    for n, (ahead, named, more) in enumerate(drawn):
        ms = NOW_MS + 10**6 if ahead or (entries and entries[-1][0].startswith(str(NOW_MS + 10**6))) else NOW_MS
        entries.append((f"{ms}-{n}", {**named, **more}))
    quickly = result_of(entries, strictly=False)
    strictly = result_of(entries, strictly=True)
    assert repr(strictly) == repr(quickly)


@hypothesis.settings(deadline=None, max_examples=250)
@hypothesis.given(numbers)
def test_a_number_is_read_to_the_last_bit_or_not_at_all(text: bytes) -> None:
    """The nearest double, as Python's own parser finds it."""
    forecaster = warmed()
    given = RawEntries.of([("5-0", {b"series": b"a", b"ts": b"%d" % NOW_MS, b"value": text})])
    parsed = forecaster._parser._parse_plain(given, NOW_MS)
    if parsed.series[0] == ODD:
        with pytest.raises(BadReading):
            parsing.parse_number(b"value", text)
    else:
        expected = parsing.parse_number(b"value", text)
        assert (expected, math.copysign(1, expected)) == (parsed.values[0, 0], math.copysign(1, parsed.values[0, 0]))


def test_plain_entries_of_known_series_never_need_the_strict_parser() -> None:
    """Otherwise it would decide the speed."""
    forecaster = warmed()
    kinds = (("a", None), ("two", 1.5))
    plain = [entry(n, name, value=n / 7, load=load, ts=NOW_MS + n) for n in range(3, 40) for name, load in kinds]
    with mock.patch.object(parsing, "parse_reading") as strict:
        result = forecaster.handle(plain, NOW_MS)
    assert 0 == strict.call_count
    assert len(plain) == len(result.forecasts)


def test_series_are_told_apart_by_their_whole_names_however_many_there_are() -> None:
    """The table of names grows with them."""
    forecaster = Forecaster(SeriesSettings())
    names = [f"line-{i}/{'x' * (i % 50)}" for i in range(3000)]
    for step in (1, 2):
        result = forecaster.handle([entry(step, name, value=i) for i, name in enumerate(names)], NOW_MS)
        assert names == result.forecasts.series
    again = RawEntries.of([entry(3, name, ts=NOW_MS) for name in names])
    rows = forecaster._parser._parse_plain(again, NOW_MS).series
    np.testing.assert_array_equal(np.arange(len(names)), rows)
