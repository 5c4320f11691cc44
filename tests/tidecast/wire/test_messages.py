"""Messages back to the wire, and the names of the keys."""

import zlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.harness.forecasts import entries, sent, together
from tidecast import wire
from tidecast.errors import StreamError
from tidecast.wire import DeadLetter, Event, Forecast, id_pair, keys_of

unhurried = hypothesis.settings(deadline=None)
finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63), 2**63 - 1)


def fields_of(flat: list[str | bytes]) -> dict[bytes, bytes]:
    """Return the fields as Redis gives them back."""
    raw = [x if isinstance(x, bytes) else x.encode() for x in flat]
    return dict(zip(raw[::2], raw[1::2], strict=True))


def raw(fields: dict[str, str]) -> dict[bytes, bytes]:
    """Return the fields as Redis gives them back."""
    return {name.encode(): text.encode() for name, text in fields.items()}


@unhurried
@hypothesis.given(
    st.builds(
        Forecast,
        id=st.just("5-1"),
        series=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
        ts=st.none() | whole,
        yhat=finite,
        yhat_lower=st.none() | finite,
        yhat_upper=st.none() | finite,
        level=finite,
        origin=whole,
        model=st.none() | st.integers(1, 2**31),
        kind=st.sampled_from(["lstm", "naive"]),
        y=finite,
        error=st.none() | finite,
        anomaly_score=st.none() | finite,
        anomaly=st.none() | st.booleans(),
        filled=st.integers(0, 1024),
        more=st.dictionaries(
            st.from_regex(r"yhat_(lower|upper)_[1-9][0-9]?(\.[0-9])?|yhat_[2-9](_lower|_upper)?", fullmatch=True),
            finite,
        ).map(lambda fields: tuple(fields.items())),
    )
)
def test_a_forecast_survives_the_wire_to_the_last_bit(forecast: Forecast) -> None:
    """Encoded and decoded it is equal, unknown values included."""
    assert forecast == Forecast.decode(b"5-1", raw(sent(forecast)))


def test_further_fields_are_told_from_those_that_every_forecast_has() -> None:
    """They keep their order, and a field that another version adds is not one of our numbers."""
    more = (("yhat_lower_50", 0.5), ("yhat_upper_99.9", 4.0), ("yhat_2", 1.5), ("yhat_2_lower", -1.0), ("yhat_12", 2.0))
    made = Forecast("5-1", "a", 6, 1.0, 0.0, 2.0, 0.9, 5, 1, "lstm", 1.0, more=more)
    assert [name for name, _ in more] == [*sent(made)][-5:]
    assert more == Forecast.decode(b"5-1", {**raw(sent(made)), b"yhat_note": b"new", b"drift": b"1"}).more


def test_what_is_not_known_of_a_forecast_is_left_out() -> None:
    """The first forecast of a series has neither a time, nor bounds, nor a score, nor a model."""
    first = Forecast("5-1", "a", None, 1.0, None, None, 0.9, 5, None, "naive", 1.0)
    assert ["series", "yhat", "level", "origin", "kind", "y"] == [*sent(first)]


def test_a_batch_leaves_out_what_is_not_known_of_one_and_keeps_it_of_another() -> None:
    """Each entry has its own fields, whatever its neighbours have; a series may have any name."""
    first = Forecast("5-1", "null", None, 1.0, None, None, 0.9, 5, None, "naive", 1.0)
    second = Forecast("6-0", '"a",', 9, 2.0, 1.5, 2.5, 0.9, 6, 3, "lstm", -0.0, 0.5, 1.5, True, 2, (("yhat_2", 4.0),))
    batch = together(first, second)
    assert [first, second] == [*batch]
    assert [first, second] == [Forecast.decode(entry_id, raw(fields)) for entry_id, fields in entries(batch)]
    assert [("5-1", sent(first)), ("6-0", sent(second))] == entries(batch)


def test_a_dead_letter_quotes_its_reading_within_limits() -> None:
    """A reading of many or long fields is cut, each field to 1 KiB."""
    fields = {b"%d" % i + b"n" * 2000: b"v" * 5000 for i in range(100)}
    letter = fields_of(DeadLetter("5-1", "bad_value", "why", fields).encode())
    assert {b"id": b"5-1", b"reason": b"bad_value", b"detail": b"why"} == dict(list(letter.items())[:3])
    quoted = list(letter.items())[3:]
    assert len(quoted) == wire.MAX_ECHO_FIELDS
    assert all(name.startswith(b"original.") and len(name) == 9 + 1024 and len(value) == 1024 for name, value in quoted)


@pytest.mark.parametrize(
    "event",
    [
        Event(
            "level_changed", "a new level", "a", facts={"ts": 6, "since": 5, "old": 0.1, "new": 1e300, "reading": "6-0"}
        ),
        Event("series_renamed", "renamed", "a", facts={"old": "1", "new": "2", "user": "me", "program": "command"}),
        Event("anomaly", "begins", "a", 3, facts={"value": -0.0, "expected": 1.5, "score": 2.0, "phase": "begins"}),
        Event("finished", "a run"),
    ],
    ids=lambda event: event.kind,
)
def test_an_event_survives_the_wire_with_its_facts(event: Event) -> None:
    """Times are whole numbers and measurements are real ones; a name that looks like a number stays a text."""
    decoded = Event.decode(b"7-0", fields_of(event.encode()))
    assert event == decoded
    assert [*map(type, event.facts.values())] == [*map(type, decoded.facts.values())]
    assert "7-0" == decoded.id


def test_one_partition_has_plain_keys_and_more_carry_a_hash_tag() -> None:
    """The names are the contract with producers in other languages."""
    assert ("readings", "forecasts", "dead", "state") == tuple(
        getattr(keys_of(), name) for name in ("readings", "forecasts", "dead", "state")
    )
    assert "{3}:readings" == keys_of(3, 8).readings
    assert "plant:{3}:state" == keys_of(3, 8, "plant").state


def test_a_series_belongs_to_the_partition_of_its_crc32() -> None:
    """Any language finds it by the same rule."""
    assert zlib.crc32("Zürich".encode()) % 8 == wire.partition_of("Zürich", 8)


@pytest.mark.parametrize("kind", [str, str.encode], ids=["text", "bytes"])
def test_ids_compare_as_numbers(kind: Callable[[str], str | bytes]) -> None:
    """They do not compare as text; without a number an id is the first of its millisecond."""
    ids = [kind(text) for text in ("9-10", "9-9", "10-0", "9")]
    assert [(9, 10), (9, 9), (10, 0), (9, 0)] == [id_pair(text) for text in ids]


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        (Forecast, {b"series": b"a"}, "entry 1-0 is not a forecast (no field yhat): "),
        (Forecast, {b"series": b"\xff"}, "entry 1-0 is not a forecast ('utf-8' codec can't decode"),
        (Event, {b"kind": b"stuck"}, "entry 1-0 is not an event (no field detail): "),
        (Event, {b"kind": b"stuck", b"detail": b"", b"version": b"x"}, "entry 1-0 is not an event (invalid literal"),
        (DeadLetter, {b"detail": b"why"}, "entry 1-0 is not a dead letter (no field reason): "),
    ],
)
def test_a_foreign_entry_is_named_with_the_remedy(kind: Any, fields: dict[bytes, bytes], problem: str) -> None:
    """A follower stops there: the operator needs the id, and what to do with it."""
    with pytest.raises(StreamError) as caught:
        kind.decode(b"1-0", fields)
    assert str(caught.value).startswith(problem)
    assert str(caught.value).endswith("another program wrote it; delete it with XDEL, or begin after it")
