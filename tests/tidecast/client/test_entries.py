"""Readings on their way to Redis: the clients refuse those that a worker would refuse, before any is sent."""

import asyncio
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from redis import Redis

from tidecast.client import AsyncClient, Client
from tidecast.client.entries import entries_of, entry_of
from tidecast.errors import BadReading
from tidecast.settings import Settings
from tidecast.wire.parsing import check_size, parse_reading, series_of

NOW_MS = 1_700_000_000_000
MOST_BYTES = 65_536
NUMBER = "send a finite decimal number such as 42.1"
TIME = "is not a time: send epoch milliseconds or ISO-8601 with an offset"
OFFSET = "has no offset: append Z or"
BERLIN_WINTER = timezone(timedelta(hours=1))


class Silent:
    """An object that does not show itself."""

    def __str__(self) -> str:
        raise RuntimeError("no")


# Series, values and time of a push; the reason of its dead letter and a part of the sentence.
REFUSED: list[tuple[Any, Any, Any, str, str]] = [
    # values
    ("a", math.nan, None, "bad_value", f"field 'value' is 'nan': {NUMBER}"),
    ("a", math.inf, None, "bad_value", f"'inf': {NUMBER}"),
    ("a", -math.inf, None, "bad_value", f"'-inf': {NUMBER}"),
    ("a", np.float32("nan"), None, "bad_value", NUMBER),
    ("a", Decimal("NaN"), None, "bad_value", NUMBER),
    ("a", Decimal("sNaN"), None, "bad_value", NUMBER),
    ("a", Decimal("1e400"), None, "bad_value", "send a finite"),
    ("a", "abc", None, "bad_value", f"field 'value' is 'abc': {NUMBER}"),
    ("a", "", None, "bad_value", NUMBER),
    ("a", "1,5", None, "bad_value", "field 'value' is '1,5', with a comma: send a point for decimals"),
    ("a", " 1", None, "bad_value", NUMBER),
    ("a", "\ud800", None, "bad_value", NUMBER),
    ("a", None, None, "bad_value", f"field 'value' is 'None': {NUMBER}"),
    ("a", pd.NA, None, "bad_value", NUMBER),
    ("a", pd.NaT, None, "bad_value", NUMBER),
    ("a", 3.5e38, None, "bad_value", "beyond 3.4e38: rescale it"),
    ("a", 10**400, None, "bad_value", "beyond 3.4e38: rescale it"),
    ("a", -(10**5000), None, "bad_value", "beyond 3.4e38: rescale it"),
    ("a", [1.0], None, "bad_value", NUMBER),
    ("a", (1.0, 2.0), None, "bad_value", NUMBER),
    ("a", np.array([1.0]), None, "bad_value", NUMBER),
    ("a", pd.Series([1.0]), None, "bad_value", NUMBER),
    ("a", 1j, None, "bad_value", NUMBER),
    ("a", b"1", None, "bad_value", NUMBER),
    ("a", np.datetime64("2023-11-14", "ns"), None, "bad_value", NUMBER),
    ("a", np.timedelta64(5, "s"), None, "bad_value", NUMBER),
    ("a", datetime(2023, 11, 14, tzinfo=UTC), None, "bad_value", NUMBER),
    ("a", Silent(), None, "bad_value", "'<Silent>'"),
    ("a", {"value": 1.0, "wind": math.nan}, None, "bad_value", "field 'wind' is 'nan'"),
    ("a", {"value": 1.0, "wind": "calm"}, None, "bad_value", "field 'wind' is 'calm'"),
    ("a", {"value": 1.0, "wind": None}, None, "bad_value", "field 'wind' is 'None'"),
    ("a", {}, None, "no_value", "has no number: send a value"),
    ("a", {"series": 1.0}, None, "bad_value", "named 'series', which is a field of its own: rename it"),
    ("a", {"value": 1.0, "ts": 2.0}, None, "bad_value", "named 'ts', which is a field of its own: rename it"),
    ("a", {1: 1.0}, None, "bad_value", "a feature is named 1"),
    ("a", {"": 1.0}, None, "bad_value", "name it with a str that is not empty"),
    ("a", {"\ud800": 1.0}, None, "bad_value", "not UTF-8"),
    ("a", {f"field {i}": 1.0 for i in range(9000)}, None, "too_large", "send at most 65536"),
    ("a", {"value": 1.0, "timestamp": NOW_MS}, None, "bad_ts", "send its time as 'ts'"),
    ("a", {"value": 1.0, "Event-Time": 5}, None, "bad_ts", "send its time as 'ts'"),
    # series
    ("", 1.0, None, "no_series", "send the name of the series"),
    (None, 1.0, None, "bad_series", "the series name is None, which is not text"),
    (7, 1.0, None, "bad_series", "the series name is 7, which is not text"),
    (b"a", 1.0, None, "bad_series", "which is not text"),
    ("a" * 257, 1.0, None, "bad_series", "has 257 bytes: use at most 256"),
    ("ü" * 129, 1.0, None, "bad_series", "has 258 bytes"),
    ("a\n", 1.0, None, "bad_series", "control characters"),
    ("a\0", 1.0, None, "bad_series", "control characters"),
    ("\ud800", 1.0, None, "bad_series", "not UTF-8"),
    # times
    ("a", 1.0, datetime(2023, 11, 14), "bad_ts", OFFSET),
    ("a", 1.0, pd.Timestamp("2023-11-14 12:00"), "bad_ts", OFFSET),
    ("a", 1.0, np.datetime64("2023-11-14T12:00", "ms"), "bad_ts", OFFSET),
    ("a", 1.0, date(2023, 11, 14), "bad_ts", TIME),
    ("a", 1.0, "2023-11-14T12:00:00", "bad_ts", OFFSET),
    ("a", 1.0, pd.NaT, "bad_ts", TIME),
    ("a", 1.0, math.nan, "bad_ts", TIME),
    ("a", 1.0, math.inf, "bad_ts", TIME),
    ("a", 1.0, 1_699_999_999_999.5, "bad_ts", TIME),
    ("a", 1.0, True, "bad_ts", TIME),
    ("a", 1.0, np.bool_(True), "bad_ts", TIME),
    ("a", 1.0, "soon", "bad_ts", TIME),
    ("a", 1.0, "", "bad_ts", TIME),
    ("a", 1.0, timedelta(days=1), "bad_ts", TIME),
    ("a", 1.0, 10**20, "bad_ts", TIME),
    ("a", 1.0, 10**5000, "bad_ts", TIME),
    ("a", 1.0, 1_699_999_999, "bad_ts", "looks like seconds: send milliseconds"),
    ("a", 1.0, 1_699_999_999.0, "bad_ts", "looks like seconds: send milliseconds"),
    ("a", 1.0, NOW_MS + 2 * 86_400_000, "future_ts", "over a day ahead"),
    ("a", 1.0, datetime(2999, 1, 1, tzinfo=UTC), "future_ts", "over a day ahead"),
]


def entry(series: Any, values: Any, ts: Any = None) -> dict[bytes, bytes]:
    """Return the fields of one reading, at a fixed present."""
    return dict(entry_of(series, values, ts, now_ms=NOW_MS, most_bytes=MOST_BYTES))


@pytest.mark.parametrize(
    ("series", "values", "ts", "reason", "gist"), REFUSED, ids=[f"{case[3]}-{i}" for i, case in enumerate(REFUSED)]
)
def test_a_reading_that_a_worker_would_refuse_is_refused_at_the_call(
    series: Any, values: Any, ts: Any, reason: str, gist: str
) -> None:
    """With the code and the sentence of its dead letter, as a ValueError: the producer is where it can be mended."""
    for attempt in (
        lambda: entry(series, values, ts),
        lambda: entries_of([("b", 1.0), (series, values, ts)], 0, now_ms=NOW_MS, most_bytes=MOST_BYTES),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at
            attempt()
        assert isinstance(caught.value, BadReading)
        assert reason == caught.value.reason
        assert gist in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42.1, b"42.1"),
        (7, b"7.0"),
        (True, b"1.0"),
        (np.bool_(False), b"0.0"),
        (np.float32(0.5), b"0.5"),
        (np.int8(-3), b"-3.0"),
        (np.array(2.5), b"2.5"),
        (Decimal("42.10"), b"42.1"),
        (Fraction(1, 4), b"0.25"),
        ("42.10", b"42.10"),
        (np.str_("1e3"), b"1e3"),
        (-0.0, b"-0.0"),
        (3.4e38, b"3.4e+38"),
        (5e-324, b"5e-324"),
    ],
)
def test_a_number_of_any_kind_is_sent_as_decimal_text(value: Any, text: bytes) -> None:
    """Python's, NumPy's, a Decimal, a bool as 0 or 1; text stays as it is, for a float would round it."""
    assert {b"series": b"a", b"value": text} == entry("a", value)


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (NOW_MS, b"1700000000000"),
        (np.int64(NOW_MS), b"1700000000000"),
        (float(NOW_MS), b"1700000000000"),
        (-1, b"-1"),
        ("1700000000000", b"1700000000000"),
        ("2023-11-14T12:00:00Z", b"2023-11-14T12:00:00Z"),
        (datetime(2023, 11, 14, 12, tzinfo=BERLIN_WINTER), b"2023-11-14T12:00:00+01:00"),
        (pd.Timestamp("2023-11-14 12:00", tz="Europe/Berlin"), b"2023-11-14T12:00:00+01:00"),
        (NOW_MS + 86_400_000, b"1700086400000"),
        (datetime(1850, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")), b"1849-12-31T23:40:28+00:00"),
        (datetime(1970, 1, 20, tzinfo=UTC), b"1970-01-20T00:00:00+00:00"),
    ],
)
def test_a_time_with_a_known_moment_is_sent(ts: Any, text: bytes) -> None:
    """Whole milliseconds, aware datetimes, text with an offset."""
    assert {b"series": b"a", b"value": b"1.0", b"ts": text} == entry("a", 1.0, ts)


def test_a_feature_may_be_called_time_where_the_reading_has_one() -> None:
    """Only without `ts` would the reading silently get the time of its arrival."""
    assert {b"series": b"a", b"ts": b"1000", b"value": b"1.0", b"time": b"5.0"} == entry(
        "a", {"value": 1, "time": 5}, 1000
    )


anything = st.one_of(
    st.floats(),
    st.integers(-(10**40), 10**40),
    st.integers(NOW_MS - 10**10, NOW_MS + 10**9),
    st.booleans(),
    st.none(),
    st.text(max_size=8),
    st.text("0123456789.eE+-", max_size=8),
    st.decimals(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.floats(width=32).map(np.float32),
)
names = st.text(max_size=6) | st.sampled_from(["value", "wind", "series", "ts", "timestamp"])


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(
        st.tuples(names, anything | st.dictionaries(names, anything, max_size=3), anything), min_size=1, max_size=4
    )
)
def test_what_the_client_accepts_the_worker_accepts(readings: list[tuple[Any, Any, Any]]) -> None:
    """The worker's own rule holds; and many readings together are accepted as each is alone."""
    accepted = []
    for reading in readings:
        try:
            accepted.append(entry(*reading))
        except BadReading:
            continue
        fields = accepted[-1]
        check_size(fields, MOST_BYTES)
        features = tuple(name.decode() for name in fields if name not in (b"series", b"ts"))
        for model in (features, features[:1]):  # one that reads all fields, one that reads the target alone
            assert np.isfinite(parse_reading(f"{NOW_MS}-0", fields, series_of(fields), model, NOW_MS).values).all()
    try:
        together = entries_of(readings, 0, now_ms=NOW_MS, most_bytes=MOST_BYTES)
    except BadReading:
        assert len(accepted) < len(readings)
    else:
        assert accepted == together


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[Client]:  # noqa: ARG001 - it empties the server
    """A client of the emptied server."""
    with Client(settings.redis_url.get_secret_value()) as client:
        yield client


@pytest.mark.parametrize("values", [math.nan, "abc", None, {}])
def test_the_blocking_client_sends_nothing_of_a_refused_reading(client: Client, redis: Redis, values: Any) -> None:
    """Alone or among others."""
    with pytest.raises(ValueError, match="send a"):
        client.push("a", values)
    with pytest.raises(ValueError, match=r"reading 1: .*send a"):
        client.push_many([("a", 1.0), ("a", values)])
    assert [] == redis.keys()


@pytest.mark.parametrize("values", [math.nan, "abc", None, {}])
async def test_the_asyncio_client_sends_nothing_of_a_refused_reading(
    settings: Settings, redis: Redis, values: Any
) -> None:
    """As the blocking one."""
    async with AsyncClient(settings.redis_url.get_secret_value()) as client:
        with pytest.raises(ValueError, match="send a"):
            await client.push("a", values)
        with pytest.raises(ValueError, match=r"reading 1: .*send a"):
            await client.push_many([("a", 1.0), ("a", values)])
    assert [] == redis.keys()


@pytest.mark.parametrize("shape", [list, iter])
def test_of_many_readings_either_all_are_sent_or_none(
    settings: Settings, client: Client, redis: Redis, shape: Callable[[list[Any]], Any]
) -> None:
    """The last of 2,501 is bad, beyond the first round trips, and a generator is read to its end first."""
    readings: list[Any] = [*(("a", float(i), 1000 * i) for i in range(2500)), ("a", 1.0, datetime(2024, 1, 1))]
    with pytest.raises(BadReading, match=r"reading 2500: .*has no offset"):
        client.push_many(shape(readings))

    async def push() -> None:
        async with AsyncClient(settings.redis_url.get_secret_value()) as other:
            await other.push_many(shape(readings))

    with pytest.raises(BadReading, match=r"reading 2500: .*has no offset"):
        asyncio.run(push())
    assert [] == redis.keys()
    assert 2500 == len(client.push_many(shape(readings[:-1])))


@pytest.mark.parametrize("reading", [("a",), ("a", 1.0, 1, 2), "ab", {"series": "a"}, None, 1.0, ()])
def test_an_item_of_another_shape_is_refused_by_its_number(client: Client, redis: Redis, reading: Any) -> None:
    """The sentence shows the shape that is wanted."""
    with pytest.raises(BadReading, match=r"reading 1: .* give \(series, values\) or \(series, values, ts\)"):
        client.push_many([("a", 1.0), reading])
    assert [] == redis.keys()
