"""Every bad input has one stated outcome: `odd_readings` and the troubles below are the table in `docs/inputs.md`."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.connections import connected
from tests.harness.models import make_model
from tests.worker.input.odd_readings import FEATURES, READINGS, Case, T
from tidecast.errors import StreamError
from tidecast.models.spec import Spec
from tidecast.models.storage import model_file
from tidecast.models.store import ModelStore
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster
from tidecast.online.series.state import decode_all
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, MAX_ECHO_BYTES, MAX_ECHO_FIELDS, Forecast, keys_of, partition_of
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop

pytestmark = pytest.mark.settings(worker={"block": "1ms"})

PAGE = Path(__file__).parents[3] / "docs" / "inputs.md"
HEAD = "| input | disposition | reason | result, or text of the dead letter |\n|---|---|---|---|\n"
GONE = "rename or delete that key"
SPEC = Spec(window=4, units=3)
WIDE: dict[str, Any] = {"center": (0.0,) * 3, "scale": (1.0,) * 3}
Fields = dict[bytes, bytes]
Ended = tuple[str, str, str]  # the disposition, the dead letter's code, and the message
Stage = Callable[[Settings, Redis, ModelStore], Ended]


def good(series: bytes, n: int, value: int = 42) -> Fields:
    """Return a reading without fault, the n-th second of its series."""
    return {b"series": series, b"ts": b"%d" % (T + 1000 * n), b"value": b"%d" % value}


def add(redis: Redis, fields: Fields, entry_id: str = "*", key: str = "readings") -> str:
    """Push a reading; return its id."""
    return redis.xadd(key, fields, id=entry_id).decode()  # type: ignore[arg-type, union-attr] # bytes are fine


def worker_of(settings: Settings, health: Health | None = None) -> Worker:
    """Return a worker of all partitions, as the program makes it."""
    count = settings.partitions
    streams = [Stream(connected(settings), keys_of(i, count), settings.worker) for i in range(count)]
    return Worker(settings, streams, ModelStore(settings.store), health or Health())


def answer(settings: Settings) -> None:
    """Let the real loop answer every reading; no step of it may fail."""
    health = Health()
    worker_of(settings, health).run(Stop(), burst=True)
    failed = [
        each.value for family in health.registry.collect() for each in family.samples if "failures_t" in each.name
    ]
    assert 0 == sum(failed)


def counts(redis: Redis, key: str = "offset") -> Counter[str]:
    """Return how many readings ended with each disposition; they sum to the readings consumed."""
    fields = {name.decode(): value for name, value in redis.hgetall(key).items()}  # type: ignore[union-attr] # the synchronous client
    ended = Counter({name: int(fields[name]) for name in DISPOSITIONS if int(fields.get(name, 0))})
    assert int(fields["read"]) == ended.total()
    return ended


def forecasts(redis: Redis) -> dict[str, Forecast]:
    """Return all forecasts, by id."""
    made = [Forecast.decode(*entry) for entry in redis.xrange("forecasts")]  # type: ignore[union-attr] # the synchronous client
    return {forecast.id: forecast for forecast in made}


def stored(redis: Redis) -> dict[str, bytes]:
    """Return the fields of the stored states."""
    return {name.decode(): raw for name, raw in redis.hgetall("state").items()}  # type: ignore[union-attr] # the synchronous client


def letters(redis: Redis, key: str = "dead") -> dict[str, Fields]:
    """Return the dead letters, by id."""
    return {entry_id.decode(): fields for entry_id, fields in redis.xrange(key)}  # type: ignore[union-attr, misc] # the synchronous client


def _ended(redis: Redis, entry_id: str, keys: str = "") -> Ended:
    letter = letters(redis, f"{keys}dead").get(entry_id)
    if letter:
        return "dead", letter[b"reason"].decode(), letter[b"detail"].decode()
    return ("forecast" if entry_id in forecasts(redis) else "none yet"), "", ""


def _with_cap(settings: Settings) -> Settings:
    return settings.model_copy(update={"series": settings.series.model_copy(update={"max_series": 2})})


def _beyond_the_cap(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    for name in (b"a", b"b"):
        add(redis, good(name, 0))
    new = add(redis, good(b"c", 0))
    answer(_with_cap(settings))
    assert Counter(forecast=2, dead=1) == counts(redis)
    assert {"a", "b"} == decode_all(stored(redis)).keys()
    return _ended(redis, new)


def _known_at_the_cap(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    for name in (b"a", b"b", b"c"):
        add(redis, good(name, 0))
    answer(settings)
    known = [add(redis, good(name, 1)) for name in (b"a", b"b", b"c")]
    answer(_with_cap(settings))  # one more than it may have, all of them known
    assert Counter(forecast=6) == counts(redis)
    return _ended(redis, known[-1])[0], "", "known series go on"


def _in_the_wrong_partition(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    two = settings.model_copy(update={"partitions": 2})
    other = partition_of("s", 2)
    ours = 1 - other
    entry_id = add(redis, good(b"s", 0), key=keys_of(ours, 2).readings)
    answer(two)
    assert Counter(dead=1) == counts(redis, keys_of(ours, 2).offset)
    return _ended(redis, entry_id, f"{{{ours}}}:")


def _with_a_field_twice(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    pushed = redis.execute_command("XADD", "readings", "*", "series", "s", "value", "1", "value", "2")  # type: ignore[no-untyped-call] # the library's
    answer(settings)
    assert 2.0 == forecasts(redis)[pushed.decode()].y
    return "forecast", "", "the last one counts"


def _with_a_key_of_another_type(settings: Settings, redis: Redis, key: str) -> Ended:
    redis.set(key, "foreign")
    waiting = None if key == "readings" else add(redis, good(b"s", 0))
    worker = worker_of(settings)
    with pytest.raises(StreamError) as caught:
        worker.step(T / 1000)
    assert not redis.exists("offset") or Counter() == counts(redis)
    assert b"foreign" == redis.get(key)
    redis.delete(key)
    entry_id = waiting or add(redis, good(b"s", 0))
    worker.run(Stop(), burst=True)
    assert entry_id in forecasts(redis)
    return "none yet", "", str(caught.value)


def _without_readings(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    return _with_a_key_of_another_type(settings, redis, "readings")


def _without_state(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    return _with_a_key_of_another_type(settings, redis, "state")


def _deadly(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    handle = Forecaster.handle

    def failing(self: Forecaster, entries: Sequence[Entry], now_ms: int) -> BatchResult:
        if any(fields[b"value"] == b"13" for _, fields in entries):
            raise RuntimeError("a bug")
        return handle(self, entries, now_ms)

    entry_id = add(redis, good(b"s", 0) | {b"value": b"13"})
    add(redis, good(b"s", 1))
    with mock.patch.object(Forecaster, "handle", failing):
        worker_of(settings).run(Stop(), burst=True)
    assert Counter(forecast=1, dead=1) == counts(redis)
    return _ended(redis, entry_id)


def _without_outputs(settings: Settings, redis: Redis, _store: ModelStore) -> Ended:
    messages = []
    for key in ("forecasts", "dead"):
        redis.flushall()
        messages.append(_with_a_key_of_another_type(settings, redis, key)[2])
    return "none yet", "", GONE if all(GONE in each for each in messages) else str(messages)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def _misshapen(content: bytes) -> bytes:
    """Return the file of a wider network under this one's header: every byte is where its own header puts it."""
    wider = model_file.encode(make_model("s", Spec(window=4, units=9)))
    assert wider.count(b'\\"units\\":9') == 1
    assert content != wider
    return wider.replace(b'\\"units\\":9', b'\\"units\\":3')


def _with_a_broken_champion(spoil: Callable[[bytes], bytes], *, before: bool = True) -> Stage:
    def stage(settings: Settings, redis: Redis, store: ModelStore) -> Ended:
        if before:
            store.publish(make_model("s", SPEC))
        worker = worker_of(settings)
        ids = [add(redis, good(b"s", n)) for n in range(6)]
        worker.step(T / 1000)
        store.publish(make_model("s", SPEC, seed=1))
        file = sorted(store.root.rglob("*.safetensors"))[-1]
        file.write_bytes(spoil(file.read_bytes()))
        ids.append(add(redis, good(b"s", 6)))
        with capture_logs() as log:
            worker.step(T / 1000 + 1)
        made = forecasts(redis)[ids[-1]]
        assert (("lstm", 1) if before else ("naive", None)) == (made.kind, made.model)
        errors = [str(line["error"]) for line in log if line["event"] == "model not loaded"]
        assert 1 == len(errors)
        return (
            "forecast",
            "",
            "logged; " + ("the champion before it goes on" if before else "experts that need no training answer"),
        )

    return stage


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault beside the reading itself; `stage` causes it and returns how the reading ended."""

    sent: str
    disposition: str
    reason: str
    gist: str
    stage: Stage


GOES_ON = "logged; the champion before it goes on"
TROUBLES = [
    Trouble(
        "a new series beyond `series.max_series`",
        "dead",
        "too_many_series",
        "raise series.max_series, or use more partitions",
        _beyond_the_cap,
    ),
    Trouble("a field twice in one entry", "forecast", "", "the last one counts", _with_a_field_twice),
    Trouble(
        "a known series, once `series.max_series` is reached", "forecast", "", "known series go on", _known_at_the_cap
    ),
    Trouble(
        "a reading in the partition of another series",
        "dead",
        "wrong_partition",
        "push it there",
        _in_the_wrong_partition,
    ),
    Trouble(
        "a reading that ends or fails the worker each time", "dead", "poison", "check its log, and report", _deadly
    ),
    Trouble("a key `readings` that is not a stream", "none yet", "", GONE, _without_readings),
    Trouble("a key `state` that is not a hash", "none yet", "", GONE, _without_state),
    Trouble("a key `forecasts` or `dead` that is not a stream", "none yet", "", GONE, _without_outputs),
    Trouble("a champion whose file is cut short", "forecast", "", GOES_ON, _with_a_broken_champion(_cut)),
    Trouble("a champion with a bit flipped", "forecast", "", GOES_ON, _with_a_broken_champion(_flipped)),
    Trouble(
        "a champion of another shape than it declares", "forecast", "", GOES_ON, _with_a_broken_champion(_misshapen)
    ),
    Trouble(
        "a first champion whose file is cut short",
        "forecast",
        "",
        "logged; experts that need no training answer",
        _with_a_broken_champion(_cut, before=False),
    ),
]


# The table


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
    """Every code of a dead letter is documented."""
    described = (PAGE.parent / "wire.md").read_text().partition("| reason | when |")[2].partition("\n\n")[0]
    reasons = {case.reason for case in ROWS if case.reason}
    assert reasons == set(re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE))


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
