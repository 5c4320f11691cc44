"""Which values from the wire are accepted, and which are refused and why."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import hypothesis
import pytest
from hypothesis import strategies as st

from tidecast.errors import BadReading
from tidecast.wire import Reading
from tidecast.wire.numbers import LARGEST
from tidecast.wire.parsing import (
    AHEAD_MS,
    ID_AHEAD_MS,
    NEEDS_A_LOOK,
    parse_number,
    parse_reading,
    parse_time,
    series_of,
    times_of,
)

NOW_MS = 1_700_000_000_000
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
unhurried = hypothesis.settings(deadline=None)
# Bytes that are numbers or times, and near misses.
figures = st.sampled_from([b"1", b"-2.5e3", b"1700000000000", b"1600000000", b"9" * 70, b"1e400", b"4e38", b"nan", b""])
figures |= st.integers(-(10**16), 10**16).map(lambda n: b"%d" % n) | st.floats().map(lambda x: repr(x).encode())
figures |= st.text("0123456789.eE+-_ ,\u0661", max_size=12).map(str.encode)


def or_none(parse: Callable[..., float], *args: object) -> float | None:
    """Return the parsed value, or None where it is refused."""
    try:
        return parse(*args)
    except BadReading:
        return None


@unhurried
@hypothesis.given(st.lists(figures, min_size=1, max_size=8))
def test_many_times_are_read_together_as_each_is_alone(times: list[bytes]) -> None:
    """Whatever company they are in; one that is refused, or written in another way, needs a closer look."""
    expected = [or_none(parse_time, raw, NOW_MS) for raw in times]
    assert expected == [None if ts == NEEDS_A_LOOK else ts for ts in times_of(times, NOW_MS)]


def refusal(raw: bytes) -> str | None:
    """Return the code with which a number is refused, None if it is not."""
    try:
        parse_number(b"value", raw)
    except BadReading as exc:
        return exc.reason
    return None


@unhurried
@hypothesis.given(
    st.one_of(st.from_regex(DECIMAL, fullmatch=True), st.text("0123456789.eE+-_ xinfa,\u0661", max_size=12))
)
def test_a_number_is_accepted_exactly_if_it_is_a_finite_decimal(text: str) -> None:
    """An accepted text has the decimal form and float()'s value; all others are refused."""
    raw = text.encode()
    good = len(raw) <= 64 and DECIMAL.fullmatch(text) is not None and abs(float(text)) <= LARGEST
    assert good == (refusal(raw) is None)
    if good:
        assert float(text) == parse_number(b"value", raw)


@unhurried
@hypothesis.given(st.binary(max_size=80))
def test_any_bytes_are_a_number_or_a_bad_reading(raw: bytes) -> None:
    """The parser never fails in another way, nor returns a value that is not finite."""
    if refusal(raw) is None:
        assert math.isfinite(parse_number(b"value", raw))


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"nan",
            b"NaN",
            b"inf",
            b"-Infinity",
            b"1e400",
            b"-1e39",
            b"1_000",
            b"0x10",
            b"1,5",
            b"True",
            b"",
            b" 1",
            b"1 ",
        ),
        *(b"1\n", b"1\x00", b"\x001", b"\xff\xfe", b"--1", b"1e", b".", b"e5", b"1.2.3", b"9" * 5000, b"1" + b"0" * 64),
        *("\uff14\uff12".encode(), "\u0664٢".encode(), "\u22121".encode(), "½".encode()),
    ],
)
def test_what_other_parsers_may_read_otherwise_is_no_number(raw: bytes) -> None:
    """Names of non-numbers, separators, other digits, blanks, NUL and endless digits are refused by their code."""
    assert refusal(raw) == "bad_value"


def test_the_refusal_of_a_number_names_the_field_and_quotes_little_of_it() -> None:
    """The sentence of a dead letter stays readable, whatever was sent."""
    with pytest.raises(BadReading) as caught:
        parse_number(b"value", b"\xff" * 5000)
    assert len(str(caught.value)) < 300
    assert "'value'" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"1700000000000", 1_700_000_000_000),
        (b"2023-11-14T22:13:20Z", 1_700_000_000_000),
        (b"2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        (b"2023-11-14T22:13:20.5+00:00", 1_700_000_000_500),
        (b"0001-01-01T00:00:00+23:59", -62_135_683_140_000),
        (b"2023-11-14 22:13:20Z", 1_700_000_000_000),
        (b"2023-11-14T22:13Z", 1_699_999_980_000),
        (b"2023-11-14T22:13:20.123456789-00:00", 1_700_000_000_123),
        (b"1970-01-12T13:46:40Z", 1_000_000_000),  # as milliseconds it looks like seconds, and its unit is known
        (b"1970-02-27T00:00:00+01:00", 4_921_200_000),
    ],
)
def test_a_time_is_epoch_milliseconds_or_iso_8601_with_an_offset(raw: bytes, expected: int) -> None:
    """Both forms give epoch milliseconds."""
    assert expected == parse_time(raw, NOW_MS)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"2023-11-14T22:13:20", "bad_ts"),  # in which zone?
        (b"2023-11-14", "bad_ts"),
        (b"1700000000", "bad_ts"),  # seconds
        (b"1700000000000.0", "bad_ts"),
        (b"yesterday", "bad_ts"),
        (b"", "bad_ts"),
        (b"\xff", "bad_ts"),
        ("\uff11\uff17\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10".encode(), "bad_ts"),
        (b"9" * 16, "bad_ts"),
        *((b"2024-03-01%b12:00:00Z" % sign, "bad_ts") for sign in (b"1", b"\x00", b"\n", b"x", b"t", b"  ", b"_", b"")),
        (b"2024-W10-1T12:00:00Z", "bad_ts"),
        (b"20240301T120000Z", "bad_ts"),
        (b"2024-03-01T120000Z", "bad_ts"),
        (b"2024-061T12:00:00Z", "bad_ts"),
        (b"2024-03-01T24:00:00Z", "bad_ts"),
        (b"2024-03-01T12Z", "bad_ts"),
        (b"2024-03-01T12:00:60Z", "bad_ts"),
        (b"2024-03-01T12:00:00,5Z", "bad_ts"),
        (b"2024-03-01T12:00:00.Z", "bad_ts"),
        (b"2024-03-01T12:00.5Z", "bad_ts"),
        (b"2024-03-01T12:00:00z", "bad_ts"),
        (b"2024-03-01T12:00:00 Z", "bad_ts"),
        (b"2024-03-01T12:00:00+01", "bad_ts"),
        (b"2024-03-01T12:00:00+0100", "bad_ts"),
        (b"2024-03-01T12:00:00+01:00:30", "bad_ts"),
        (b"2024-03-01T12:00:00+24:00", "bad_ts"),
        (b"2024-03-01T12:00:00Z\n", "bad_ts"),
        (b" 2024-03-01T12:00:00Z", "bad_ts"),
        (b"24-03-01T12:00:00Z", "bad_ts"),
        (b"2024-3-1T12:00:00Z", "bad_ts"),
        (b"9" * 5000, "bad_ts"),
        (b"2023-11-14T22:13:20Z" + b" " * 5000, "bad_ts"),
        (b"%d" % (NOW_MS + AHEAD_MS + 1), "future_ts"),
        (b"9999-12-31T23:59:59Z", "future_ts"),
    ],
)
def test_a_time_that_could_be_misread_is_refused(raw: bytes, reason: str) -> None:
    """No offset, seconds, other forms, or over a day ahead."""
    with pytest.raises(BadReading) as caught:
        parse_time(raw, NOW_MS)
    assert reason == caught.value.reason


@unhurried
@hypothesis.given(st.datetimes(datetime(1972, 1, 1), datetime(2023, 1, 1)), st.integers(-23 * 60, 23 * 60))
def test_every_iso_time_is_read_as_the_moment_it_names(moment: datetime, offset_min: int) -> None:
    """Whatever the offset, the moment is the same to the millisecond."""
    aware = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    local = aware.astimezone(timezone(timedelta(minutes=offset_min)))
    assert (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == parse_time(
        local.isoformat().encode(), NOW_MS
    )


def test_a_day_ahead_is_still_accepted() -> None:
    """Clocks differ: exactly a day is not too much."""
    assert NOW_MS + AHEAD_MS == parse_time(b"%d" % (NOW_MS + AHEAD_MS), NOW_MS)


def test_without_a_time_the_entry_id_gives_it() -> None:
    """The id's milliseconds are the reading's time."""
    fields = {b"series": b"a", b"value": b"1.5"}
    expected = Reading("1234-7", "a", 1234, (1.5,), has_ts=False)
    assert expected == parse_reading("1234-7", fields, "a", ("value",), NOW_MS)


@pytest.mark.parametrize("ms", [NOW_MS + ID_AHEAD_MS + 1, 10 * NOW_MS, 10**15, 2**64 - 1])
def test_an_entry_id_ahead_of_the_clock_is_not_a_time(ms: int) -> None:
    """Once there, all later ids of a stream are: the readings arrive now, by the worker's clock."""
    reading = parse_reading(f"{ms}-1", {b"value": b"1"}, "a", ("value",), NOW_MS)
    assert (NOW_MS, False) == (reading.ts, reading.has_ts)


def test_redis_clock_may_run_a_minute_ahead_of_the_workers() -> None:
    """An id from Redis gives the best time of arrival, as long as the clocks differ a little."""
    reading = parse_reading(f"{NOW_MS + ID_AHEAD_MS}-0", {b"value": b"1"}, "a", ("value",), NOW_MS)
    assert NOW_MS + ID_AHEAD_MS == reading.ts


@pytest.mark.parametrize(
    "name",
    b"timestamp Timestamp TS time date DateTime ds @timestamp event_time ts. timestamp_ms \xef\xbb\xbfts".split(),
)
def test_a_time_in_another_field_than_ts_is_refused(name: bytes) -> None:
    """Otherwise the reading would get the time of its arrival, without any warning."""
    fields = {b"series": b"a", b"value": b"1", name: b"2023-11-14T22:13:20Z"}
    with pytest.raises(BadReading, match="send its time as 'ts'") as caught:
        parse_reading("5-0", fields, "a", ("value",), NOW_MS)
    assert caught.value.reason == "bad_ts"
    assert NOW_MS == parse_reading("5-0", fields | {b"ts": b"%d" % NOW_MS}, "a", ("value",), NOW_MS).ts


def test_a_feature_may_have_the_name_of_a_time() -> None:
    """It is an input of the model, and the reading has no time."""
    fields = {b"series": b"a", b"value": b"1", b"time": b"7.5"}
    reading = parse_reading("5-0", fields, "a", ("value", "time"), NOW_MS)
    assert (5, (1.0, 7.5)) == (reading.ts, reading.values)


@pytest.mark.parametrize("name", [b"times", b"temperature", b"t", b"update", b"dataset", "\u0442s".encode()])
def test_any_other_field_is_passed_over(name: bytes) -> None:
    """Only a whole name is one of a time."""
    assert 5 == parse_reading("5-0", {b"value": b"1", name: b"x"}, "a", ("value",), NOW_MS).ts


def test_a_missing_target_is_refused_and_a_missing_feature_is_nan() -> None:
    """Only the target must be there."""
    features = ("load", "temperature", "wind")
    reading = parse_reading("5-0", {b"load": b"1", b"wind": b"3", b"other": b"x"}, "a", features, NOW_MS)
    assert [1.0, True, 3.0] == [reading.values[0], math.isnan(reading.values[1]), reading.values[2]]
    with pytest.raises(BadReading) as caught:
        parse_reading("5-0", {b"temperature": b"1"}, "a", features, NOW_MS)
    assert caught.value.reason == "no_value"


def test_a_feature_that_is_no_number_refuses_the_reading() -> None:
    """Missing is not the same as wrong."""
    with pytest.raises(BadReading, match="wind"):
        parse_reading("5-0", {b"load": b"1", b"wind": b"nan"}, "a", ("load", "wind"), NOW_MS)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no_series"),
        (b"a" * 257, "bad_series"),
        (b"\xff", "bad_series"),
        (b"\xed\xa0\x80", "bad_series"),  # a lone surrogate
        (b"a\x00b", "bad_series"),
        (b"a\nb", "bad_series"),
        (b"a\x7f", "bad_series"),
        ("a\x9b".encode(), "bad_series"),
    ],
)
def test_a_series_name_that_cannot_be_shown_is_refused(raw: bytes, reason: str) -> None:
    """Empty, too long, not UTF-8, or with control characters."""
    with pytest.raises(BadReading) as caught:
        series_of({b"series": raw})
    assert reason == caught.value.reason


@pytest.mark.parametrize(
    "name", ["boiler-7", "../../etc/passwd", "Zürich 北京 🌊", "{3}:readings", "a" * 256, "*", " "]
)
def test_any_other_series_name_is_data(name: str) -> None:
    """Slashes, braces and every script are a name like any other."""
    assert name == series_of({b"series": name.encode()})


def test_an_entry_without_a_series_is_refused() -> None:
    """The field is required."""
    with pytest.raises(BadReading) as caught:
        series_of({})
    assert caught.value.reason == "no_series"
