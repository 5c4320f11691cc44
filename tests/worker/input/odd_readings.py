"""Odd readings, one by one, and the result of each: the rows of `docs/inputs.md`, which are tested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

T = 1_700_000_000_000  # epoch milliseconds of the series' first reading; its second is a second later
FEATURES = ("value", "wind", "sun")


@dataclass(frozen=True, slots=True)
class Case:
    """One reading that is odd, and what becomes of it.

    Attributes:
        sent: the odd part, as the table names it.
        fields: its fields that differ from a good reading; None: the field is lacking.
        disposition: how it ends.
        reason: the dead letter's code.
        gist: words of the dead letter's message; without a dead letter, the result in a few words.
        makes: fields of its forecast, by name.
        first: whether the series is new.
        features: of the series' model; empty: it has none.
        entry_id: chosen by the producer.
        next_id: of the good reading after it, which then has no `ts`.
    """

    sent: str
    fields: Mapping[bytes, bytes | None]
    disposition: str
    reason: str = ""
    gist: str = ""
    makes: Mapping[str, Any] = field(default_factory=dict)
    first: bool = False
    features: tuple[str, ...] = ()
    entry_id: str = "*"
    next_id: str = ""


def _dead(reason: str, sent: str, gist: str, fields: Mapping[bytes, bytes | None], **more: Any) -> Case:
    return Case(sent, fields, "dead", reason, gist, **more)


def _number(sent: str, raw: bytes, gist: str = "send a finite decimal number such as 42.1") -> Case:
    return _dead("bad_value", sent, gist, {b"value": raw})


def _named(sent: str, name: bytes, gist: str = "a name is data") -> Case:
    return Case(sent, {b"series": name}, "forecast", gist=gist)


def _misnamed(sent: str, name: bytes, gist: str) -> Case:
    return _dead("bad_series", sent, gist, {b"series": name})


def _time(
    sent: str, raw: str, origin: int, gist: str, more: Mapping[bytes, bytes] | None = None, *, first: bool = False
) -> Case:
    fields = {b"ts": raw.encode(), **(more or {})}
    return Case(sent, fields, "forecast", gist=gist, makes={"origin": origin}, first=first)


def _untimed(sent: str, entry_id: str, gist: str, next_id: str = "", **makes: int) -> Case:
    return Case(sent, {b"ts": None}, "forecast", gist=gist, makes=makes, entry_id=entry_id, next_id=next_id)


def _no_time(sent: str, raw: bytes, gist: str, reason: str = "bad_ts") -> Case:
    return _dead(reason, sent, gist, {b"ts": raw})


POINT = "send a point for decimals and nothing between thousands"
OTHER_NAME = "send its time as 'ts'"
ELSEWHERE = {b"timestamp": b"2023-11-14T22:13:23Z"}
NO_TIME = "send epoch milliseconds or ISO-8601 with an offset"
SPRING, AUTUMN = 1_711_848_600_000, 1_729_989_000_000  # 2024-03-31 01:30 UTC, 2024-10-27 00:30 UTC
READINGS = [
    _dead("no_series", "no `series`", "send the name of the series", {b"series": None}),
    _dead("no_series", "an empty `series`", "send the name of the series", {b"series": b""}),
    _dead("no_value", "no `value`", "field 'value' is missing (sent: 'ts'): send it with a number", {b"value": None}),
    _dead(
        "no_series",
        "no field that is known",
        "(sent: 'ts'): send the name of the series",
        {b"series": None, b"value": None},
    ),
    _number("an empty value", b""),
    _number("`nan`", b"nan"),
    _number("`inf`", b"inf"),
    _number("`-Infinity`", b"-Infinity"),
    _number("`1e400`, beyond a double", b"1e400", "beyond 3.4e38: rescale it"),
    _number("`3.5e38`, beyond a float32", b"3.5e38", "beyond 3.4e38: rescale it"),
    Case("`3.4e38`, the largest there is", {b"value": b"3.4e38"}, "forecast", gist="as sent", makes={"y": 3.4e38}),
    Case("`1e-400`, too small for a double", {b"value": b"1e-400"}, "forecast", gist="read as 0", makes={"y": 0.0}),
    Case("`+.5e1`", {b"value": b"+.5e1"}, "forecast", gist="read as 5", makes={"y": 5.0}),
    _number("5,000 digits", b"9" * 5000, "5000 bytes: send a number of at most 64"),
    _number("`1,5`", b"1,5", POINT),
    _number("`1.234,5`", b"1.234,5", POINT),
    _number("`1_000`", b"1_000"),
    _number("`0x10`", b"0x10"),
    _number("`True`", b"True"),
    _number("full-width digits, `\uff14\uff12`", "\uff14\uff12".encode()),
    _number("a blank beside the number", b" 42"),
    _number("NUL inside the number", b"4\x002"),
    _number("a value that is not UTF-8", b"\xff\xfe"),
    _dead("too_large", "a value of 10 MB", "raise series.max_entry_bytes", {b"value": b"9" * 10_000_000}),
    _dead("too_large", "an unknown field of 10 MB", "send at most 65536", {b"note": b"x" * 10_000_000}),
    _dead("too_large", "a field name of 10 MB", "send at most 65536", {b"n" * 10_000_000: b"1"}),
    _dead("too_large", "500 fields, over 64 KiB", "send at most 65536", {b"f%d" % i: b"x" * 200 for i in range(500)}),
    Case(
        "500 fields, small ones", {b"f%d" % i: b"x" for i in range(500)}, "forecast", gist="unknown fields are ignored"
    ),
    Case("an unknown field", {b"colour": b"blue"}, "forecast", gist="ignored", makes={"y": 42.0}),
    Case("a field name that is not UTF-8", {b"\xff": b"1"}, "forecast", gist="ignored, because it is unknown"),
    Case("a field name with NUL or a newline", {b"a\x00\n": b"1"}, "forecast", gist="ignored, because it is unknown"),
    Case(
        "fewer features than the model has",
        {b"wind": b"3"},
        "forecast",
        gist="missing ones keep their last value",
        features=FEATURES,
    ),
    Case(
        "more features than the model has",
        {b"wind": b"3", b"sun": b"4", b"rain": b"x"},
        "forecast",
        gist="the others are ignored",
        features=FEATURES,
    ),
    _dead(
        "bad_value", "a feature that is not a number", "field 'wind' is 'calm'", {b"wind": b"calm"}, features=FEATURES
    ),
    _dead("no_value", "features without the target", "'value' is missing", {b"value": None}, features=FEATURES),
    _named("a series name of 256 bytes", b"n" * 256),
    _misnamed("a series name of 257 bytes", b"n" * 257, "has 257 bytes: use at most 256"),
    _misnamed("a series name that is not UTF-8", b"\xff\xfe", "is not UTF-8: encode it as UTF-8"),
    _misnamed("a series name with NUL", b"a\x00b", "holds control characters: remove them"),
    _misnamed("a series name with a newline", b"a\nb", "holds control characters: remove them"),
    _named("a series name with braces, `{3}:readings`", b"{3}:readings", "a name is data, never part of a key"),
    _named("a series name with `../`", b"../../passwd", "a name is data, never part of a path"),
    _named("a series name of blanks", b"  "),
    _named("a series name from right to left", "\u05e9\u05dc\u05d5\u05dd \u202e42".encode()),
    _named("a series name in any script", "Zürich 北京 🌊".encode()),
    _untimed("no `ts`", f"{T + 3000}-0", "the time in the entry's id", origin=T + 3000),
    _untimed("no `ts`, in the same millisecond", f"{T + 1000}-1", "a millisecond after the newest", origin=T + 1001),
    _untimed(
        "no `ts`, and an entry id before the newest `ts`",
        f"{T + 500}-0",
        "a millisecond after the newest",
        origin=T + 1001,
    ),
    _time("`ts` in epoch milliseconds", str(T + 3000), T + 3000, "as sent"),
    _time("`ts` in ISO-8601 with an offset", "2023-11-14T23:13:23+01:00", T + 3000, "the moment that it names"),
    _no_time("`ts` that is not a time", b"yesterday", NO_TIME),
    _no_time("an empty `ts`", b"", NO_TIME),
    _no_time("`ts` with a fraction of a millisecond", b"1700000003000.5", NO_TIME),
    _no_time("`ts` with a digit instead of the `T`", b"2024-03-01112:00:00Z", NO_TIME),
    _no_time("`ts` with NUL or a newline instead of the `T`", b"2024-03-01\x0012:00:00Z", NO_TIME),
    _no_time("`ts` as a week date, a compact form, or with `24:00`", b"2024-W10-1T12:00:00Z", NO_TIME),
    _no_time("`ts` that is not UTF-8", b"\xff", NO_TIME),
    _no_time("`ts` of 5,000 digits", b"9" * 5000, NO_TIME),
    _no_time("`ts` of a day that does not exist", b"2023-02-30T00:00:00Z", NO_TIME),
    _no_time("`ts` without an offset", b"2023-11-14T23:13:23", "has no offset: append Z or +01:00"),
    _no_time("`ts` in seconds", b"1700000003", "looks like seconds: send milliseconds"),
    _no_time("`ts` in seconds with a fraction", b"1700000003.25", "looks like seconds: send milliseconds"),
    _no_time("`ts` in microseconds", b"1700000003000000", "looks like microseconds: send milliseconds"),
    _no_time("`ts` in nanoseconds", b"1700000003000000000", "looks like nanoseconds: send milliseconds"),
    _no_time("`ts` that spells a day", b"20240301", "looks like a date: send epoch milliseconds or 2024-03-01T00:00Z"),
    _no_time("`ts` that spells a second", b"20240301120000", "milliseconds or 2024-03-01T12:00:00Z"),
    _no_time("`ts` that spells a month", b"202403", "milliseconds or 2024-03-01T00:00Z"),
    _no_time(
        "`ts` in the far future",
        b"4102444800000",
        "(2100-01-01T00:00:00Z) is over a day ahead of the worker's clock",
        "future_ts",
    ),
    _dead("bad_ts", "the time in `timestamp`, `time`, `date`, `TS` or the like", OTHER_NAME, {b"ts": None} | ELSEWHERE),
    _time("`ts`, and a field `timestamp`", str(T + 3000), T + 3000, "`ts` gives the time", more=ELSEWHERE),
    _time(
        "`ts` in ISO-8601, of January 1970",
        "1970-01-20T00:00:00Z",
        1_641_600_000,
        "the moment that it names",
        first=True,
    ),
    _time("`ts` before 1970, of a new series", "-1000", -1000, "as sent", first=True),
    Case("`ts` before 1970, of a series with a later reading", {b"ts": b"-1000"}, "late", gist="counted"),
    Case("the newest `ts` again", {b"ts": b"%d" % (T + 1000)}, "duplicate", gist="counted"),
    Case(
        "the newest `ts` again, with another value",
        {b"ts": b"%d" % (T + 1000), b"value": b"7"},
        "duplicate",
        gist="counted: the first value stands",
    ),
    Case("an earlier `ts`", {b"ts": b"%d" % (T + 1)}, "late", gist="counted"),
    _time("a `ts` after a long gap", str(T + 90_000_000), T + 90_000_000, "the window starts again"),
    _time(
        "a local hour that the clocks skip in spring",
        "2024-03-31T02:30:00+01:00",
        SPRING,
        "the offset gives the moment",
    ),
    _time(
        "a repeated hour in autumn, the first time", "2024-10-27T02:30:00+02:00", AUTUMN, "the offset gives the moment"
    ),
    _time(
        "a repeated hour in autumn, the second time",
        "2024-10-27T02:30:00+01:00",
        AUTUMN + 3_600_000,
        "a moment of its own",
    ),
    _untimed(
        "no `ts`, and an entry id ahead of the clock",
        "4102444800000-0",
        "the worker's clock gives the time",
        "4102444800000-1",
    ),
    _untimed(
        "no `ts`, and an entry id beyond any time",
        "18446744073709551614-1",
        "the worker's clock gives the time",
        "18446744073709551614-2",
    ),
    Case(
        "`ts`, and an entry id beyond any time",
        {},
        "forecast",
        gist="`ts` gives the time, the forecast has the id",
        makes={"id": "18446744073709551615-1", "origin": T + 3000},
        entry_id="18446744073709551615-1",
    ),
]
