"""Troubles beside the reading itself, and the result of each: rows of `docs/inputs.md`, which are tested."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unittest import mock

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.models import make_model
from tests.worker.input.harness import add, answer, counts, forecasts, good, letters, stored, worker_of
from tests.worker.input.odd_readings import T
from tidecast.errors import StreamError
from tidecast.models.spec import Spec
from tidecast.models.storage import model_file
from tidecast.models.store import ModelStore
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster
from tidecast.online.series.state import decode_all
from tidecast.settings import Settings
from tidecast.wire import keys_of, partition_of
from worker.stop import Stop

GONE = "rename or delete that key"
SPEC = Spec(window=4, units=3)
Ended = tuple[str, str, str]  # the disposition, the dead letter's code, and the message
Stage = Callable[[Settings, Redis, ModelStore], Ended]


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
