"""Every bad input has one stated outcome: `odd_readings` and `troubles` are the table of `docs/inputs.md`."""

import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.worker.input.harness import Fields, add, answer, counts, forecasts, good, letters, stored
from tests.worker.input.odd_readings import FEATURES, READINGS, Case, T
from tests.worker.input.troubles import TROUBLES, Trouble
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.series.state import decode_all
from tidecast.settings import Settings
from tidecast.wire import MAX_ECHO_BYTES, MAX_ECHO_FIELDS, REASONS

pytestmark = pytest.mark.settings(worker={"block": "1ms"})

PAGE = Path(__file__).parents[3] / "docs" / "inputs.md"
HEAD = "| input | disposition | reason | result, or text of the dead letter |\n|---|---|---|---|\n"
WIDE: dict[str, Any] = {"center": (0.0,) * 3, "scale": (1.0,) * 3}
ROWS: list[Case | Trouble] = [*READINGS, *TROUBLES]


def table() -> str:
    """Return the table of the docs; neighbours with the same result share a row."""
    groups = groupby(ROWS, key=lambda row: (row.disposition, row.reason, row.gist))
    rows = [
        f"| {'; '.join(row.sent for row in rows)} | {disposition} | {f'`{reason}`' if reason else ''} | {gist} |"
        for (disposition, reason, gist), rows in groups
    ]
    return HEAD + "\n".join(rows).replace("|  |", "| |") + "\n"


def test_the_docs_have_exactly_these_rows() -> None:
    """The documented cases are the tested ones; the message of a failure is the table to paste."""
    page = PAGE.read_text()
    documented = page[page.index(HEAD) :].partition("\n\n")[0].rstrip("\n") + "\n"
    assert table() == documented


def test_every_reason_has_a_case_and_a_line_in_the_docs_of_the_wire() -> None:
    """Every code of a dead letter is documented, and readers can choose it."""
    described = (PAGE.parent / "wire.md").read_text().partition("| reason | when |")[2].partition("\n\n")[0]
    reasons = {case.reason for case in ROWS if case.reason}
    assert reasons == set(re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE)) == set(REASONS)


# The readings


def _entry(case: Case) -> Fields:
    whole: dict[bytes, bytes | None] = {**good(b"s", 3), **case.fields}
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize("case", READINGS, ids=lambda case: case.sent.replace("`", ""))
def test_an_odd_reading_has_its_stated_outcome_and_the_next_good_one_is_forecast(
    case: Case, settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """Two good readings, the odd one, and a good one of the same series: all have the disposition that is stated."""
    entry = _entry(case)
    series = b"s" if case.disposition == "dead" else entry[b"series"]
    if case.features:
        store.publish(make_model("s", Spec(window=4, units=3, features=case.features), **WIDE))
    for n in () if case.first else (0, 1):
        add(redis, good(series, n), f"{T + n}-0")
    odd = add(redis, entry, case.entry_id)
    after = max(T + 3000, case.makes.get("origin", 0)) + 1000
    follower = good(series, 4) | {b"ts": b"%d" % after}
    if case.next_id:
        del follower[b"ts"]
    last = add(redis, follower, case.next_id or "*")
    answer(settings)
    made = forecasts(redis)
    dead = letters(redis)
    assert Counter(forecast=1 if case.first else 3) + Counter([case.disposition]) == counts(redis)
    assert (case.disposition == "forecast", case.disposition == "dead") == (odd in made, odd in dead)
    assert last in made
    if odd in made:
        assert case.makes == {name: getattr(made[odd], name) for name in case.makes}
        assert series.decode() == made[odd].series
    if odd in dead:
        _check_letter(case, dead[odd], entry)


def _check_letter(case: Case, letter: Fields, entry: Fields) -> None:
    """Check that the letter has the code and the message, and quotes the reading within its limits."""
    assert (case.reason, True) == (letter[b"reason"].decode(), case.gist in letter[b"detail"].decode())
    assert len(letter[b"detail"]) < 300
    quoted = {name: value for name, value in letter.items() if name.startswith(b"original.")}
    kept = list(entry.items())[:MAX_ECHO_FIELDS]
    assert {b"original." + name[:MAX_ECHO_BYTES]: value[:MAX_ECHO_BYTES] for name, value in kept} == quoted


def test_all_odd_readings_in_one_batch_do_not_disturb_each_other(settings: Settings, redis: Redis) -> None:
    """Each of a series of its own: the dispositions are those of the table, and every dead letter is there."""
    whole = [case for case in READINGS if case.entry_id == "*" and not case.features]
    for n, case in enumerate(whole):
        series = case.fields.get(b"series", b"s-%d" % n)
        if case.disposition in ("duplicate", "late"):
            add(redis, good(b"s-%d" % n, 1))
        add(redis, _entry(case) | ({b"series": series} if series is not None else {}))
    answer(settings)
    known = Counter(case.disposition for case in whole)
    assert known + Counter(forecast=known["duplicate"] + known["late"]) == counts(redis)
    assert [case.reason for case in whole if case.reason] == [d[b"reason"].decode() for d in letters(redis).values()]


def test_a_lacking_feature_keeps_its_last_value(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """In the window that the next forecasts read."""
    store.publish(make_model("s", Spec(window=4, units=3, features=FEATURES), **WIDE))
    add(redis, good(b"s", 0) | {b"wind": b"1", b"sun": b"2"})
    add(redis, good(b"s", 1) | {b"wind": b"3", b"rain": b"x"})
    answer(settings)
    assert [[42.0, 1.0, 2.0], [42.0, 3.0, 2.0]] == decode_all(stored(redis))["s"].window.rows.tolist()


# Faults beside the readings


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.sent.replace("`", ""))
def test_trouble_beside_a_reading_has_its_stated_outcome(
    trouble: Trouble, settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """The worker does not crash and loses no reading, and its message names the remedy."""
    disposition, reason, message = trouble.stage(settings, redis, store)
    assert (trouble.disposition, trouble.reason) == (disposition, reason)
    assert trouble.gist in message
