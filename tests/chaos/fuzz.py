"""`python -m tests.chaos.fuzz`: good and bad readings, drawn at random; each ends as an oracle predicts."""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from redis import Redis

from tests.chaos.harness import start_worker
from tests.harness.models import make_model
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.wire import DISPOSITIONS, Keys, keys_of, partition_of

PARTITIONS = 2
CAP = 40  # series that a partition may remember: fewer than there are names
EPOCH = 1_700_000_000_000  # of the first entry's id
STEP_MS = 100
# The table's own cases have 10 MB: here the buffers of one such field would hide how the worker's memory moves.
LARGE, HUGE = b"9" * 100_000, b"9" * 1_000_000
SETTINGS = f"""
partitions = {PARTITIONS}
[worker]
block = "50ms"
[series]
max_series = {CAP}
"""

PLAIN = [b"plain-%d" % i for i in range(30)]  # every third has a model
WIDE = [b"wide-%d" % i for i in range(4)]  # their models read a second feature, `wind`
ODD = [b"../../passwd", b"{3}:readings", b"*", b" ", b"n" * 256, "\u202e\u05e9\u05dc\u05d5\u05dd".encode()]
NO_NAMES = [None, b"", b"n" * 257, b"\xff\xfe", b"\xed\xa0\x80", b"a\x00b", b"a\nb", b"\x9b", LARGE]
EDGES = [b"3.4e38", b"-3.4e38", b"-0", b"1e-400", b".5", b"+1.", b"0e999", b"1e30", b"000000000001"]
NO_NUMBERS = [None, b"", b"nan", b"inf", b"-Infinity", b"1e400", b"3.5e38", b"9" * 5000, b"1_000", b"0x10", b"1,5"]
NO_NUMBERS += [b"True", b"1\x002", b"\xff", b" 1", "\uff14\uff12".encode(), "\u0664".encode(), LARGE]
NO_TIMES = [b"", b"yesterday", b"1700000000", b"2023-11-14T22:13:20", b"2023-02-30T00:00:00Z", b"\xff", b"9" * 16]
NO_TIMES += [b"4102444800000", b"9999-12-31T23:59:59Z", b"1700000000000.5", b"9" * 5000, LARGE]
NO_TIMES += [b"2023-11-14122:13:20Z", b"2023-11-14\x0022:13:20Z", b"20231114T221320Z", b"2023-11-14T22:13:20z"]
STEPS = [1] * 12 + [0, -1, -50, 2, 3, 4, 5, 100, 10_000]  # from the series' newest time on


@dataclass(frozen=True, slots=True)
class Drawn:
    """A reading that is drawn but not yet placed in time.

    Attributes:
        series: its name; `named`: whether it is a valid one.
        value: of the target; `sound`: whether it is a number.
        when: steps after the series' newest time; bytes that are not a time; or None for no `ts`.
        iso: the offset in minutes with which a time is written; None: epoch milliseconds.
        more: further fields; `calm`: whether `wind` among them is sound.
        astray: whether it goes to the partition of another series.
    """

    series: bytes | None
    named: bool
    value: bytes | None
    sound: bool
    when: int | bytes | None
    iso: int | None
    more: dict[bytes, bytes]
    calm: bool
    astray: bool


FAULTS = ("name", "number", "time", "wind", "large", "astray")  # the faults that make a reading dead
KINDS = [*[()] * 42, *[(fault,) for fault in FAULTS] * 2, ("name", "number"), ("number", "time"), FAULTS]
_kinds = st.sampled_from(KINDS)
_texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).map(str.encode)
_names = st.one_of(*[st.sampled_from(PLAIN)] * 4, st.sampled_from(PLAIN + WIDE), st.sampled_from(WIDE + ODD), _texts)
_numbers = st.one_of(
    st.floats(-1e6, 1e6).map(lambda x: repr(x).encode()),
    st.integers(-(10**9), 10**9).map(lambda x: b"%d" % x),
    st.sampled_from(EDGES),
)
_whens = st.sampled_from([*STEPS * 2, None])
_offsets = st.sampled_from([None, None, 0, 60, -330, 765])
_unknown = st.dictionaries(st.binary(max_size=12).map(b"x".__add__), st.binary(max_size=40), max_size=3)
_more = st.one_of(*[st.just({})] * 4, _unknown, st.just({b"f%d" % i: b"x" for i in range(500)}))
_too_large = st.sampled_from(
    [*[{b"f%d" % i: b"x" * 200 for i in range(500)}, {b"note": LARGE}, {LARGE: b"1"}] * 4, {b"note": HUGE}]
)
_no_names, _no_numbers, _no_times = (st.sampled_from(bad) for bad in (NO_NAMES, NO_NUMBERS, NO_TIMES))
_no_winds = st.sampled_from([raw for raw in NO_NUMBERS if raw is not None])


@st.composite
def drawn_readings(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Drawn:
    """Return readings of many series: good ones mostly, and bad ones of all kinds, some of several at once."""
    faults = draw(_kinds)
    name = draw(_no_names if "name" in faults else _names)
    more = draw(_too_large if "large" in faults else _more)
    wind = name in WIDE and "large" not in faults  # only their models use it
    if wind:
        more = {**more, b"wind": draw(_no_winds if "wind" in faults else _numbers)}
    return Drawn(
        name,
        "name" not in faults,
        draw(_no_numbers if "number" in faults else _numbers),
        "number" not in faults,
        draw(_no_times if "time" in faults else _whens),
        draw(_offsets),
        more,
        not (wind and "wind" in faults),
        "astray" in faults,
    )


@dataclass(slots=True)
class Oracle:
    """The disposition that every reading must end with, by rules written from the docs, apart from the code."""

    ended: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in range(PARTITIONS)])
    newest: list[dict[bytes, int]] = field(default_factory=lambda: [{} for _ in range(PARTITIONS)])
    placed: int = 0

    def place(self, drawn: Drawn) -> tuple[int, str, dict[bytes, bytes]]:
        """Put a drawn reading in its place: (partition, entry id, fields); and remember how it must end."""
        entry_id = f"{EPOCH + self.placed}-0"
        self.placed += 1
        home = partition_of(drawn.series.decode(), PARTITIONS) if drawn.named and drawn.series else 0
        partition = (home + drawn.astray) % PARTITIONS
        ts = self._ts(drawn, partition, EPOCH + self.placed - 1)
        fields = {**({} if drawn.series is None else {b"series": drawn.series}), **drawn.more}
        if drawn.value is not None:
            fields[b"value"] = drawn.value
        if drawn.when is not None:
            fields[b"ts"] = drawn.when if isinstance(drawn.when, bytes) else _written(ts, drawn.iso)
        self.ended[partition][self._end(drawn, partition, ts, fields)] += 1
        return partition, entry_id, fields

    def _ts(self, drawn: Drawn, partition: int, id_ms: int) -> int:
        if not isinstance(drawn.when, int):  # a reading without a time is a new one, and has the next millisecond
            return max(id_ms, self.newest[partition].get(drawn.series or b"", 0) + 1)
        return self.newest[partition].get(drawn.series or b"", EPOCH) + STEP_MS * drawn.when

    def _end(self, drawn: Drawn, partition: int, ts: int, fields: dict[bytes, bytes]) -> str:
        size = sum(len(name) + len(value) for name, value in fields.items())
        if (
            not (drawn.named and drawn.sound and drawn.calm)
            or drawn.astray
            or isinstance(drawn.when, bytes)
            or size > 65_536
        ):
            return "dead"
        known = self.newest[partition]
        series = drawn.series or b""
        if series not in known and len(known) >= CAP:
            return "dead"
        before = known.get(series)
        if before is not None and ts <= before:
            return "duplicate" if ts == before else "late"
        known[series] = ts
        return "forecast"


def _written(ts: int, offset_min: int | None) -> bytes:
    if offset_min is None:
        return b"%d" % ts
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ts)
    return (moment + timedelta(minutes=offset_min)).replace(tzinfo=None).isoformat().encode() + _offset(offset_min)


def _offset(minutes: int) -> bytes:
    return b"%s%02d:%02d" % (b"-" if minutes < 0 else b"+", *divmod(abs(minutes), 60))


def fuzz_keys() -> list[Keys]:
    """Return the keys of every partition."""
    return [keys_of(i, PARTITIONS) for i in range(PARTITIONS)]


def push_drawn(redis: Redis, oracle: Oracle, drawn: Sequence[Drawn]) -> None:
    """Place readings and push them."""
    keys = fuzz_keys()
    with redis.pipeline(transaction=False) as pipeline:
        for reading in drawn:
            partition, entry_id, fields = oracle.place(reading)
            pipeline.xadd(keys[partition].readings, fields or {b"x": b""}, id=entry_id)  # type: ignore[arg-type] # bytes are fine
        pipeline.execute()


def ended(redis: Redis) -> list[Counter[str]]:
    """Return how many readings of each partition ended with each disposition."""
    counters: list[Counter[str]] = []
    for keys in fuzz_keys():
        counts: Any = redis.hmget(keys.offset, DISPOSITIONS)
        counters.append(Counter({name: int(n) for name, n in zip(DISPOSITIONS, counts, strict=True) if n}))
    return counters


def make_fuzz_store(folder: Path) -> Path:
    """Models for some of the series, of one feature and of two, and the settings beside them."""
    store = ModelStore(folder / "models")
    for i, name in enumerate(PLAIN[::3]):
        store.publish(make_model(name.decode(), Spec(window=8, units=8), seed=i, step_ms=STEP_MS))
    for i, name in enumerate(WIDE):
        spec = Spec(window=6, units=4, features=("value", "wind"))
        store.publish(make_model(name.decode(), spec, seed=i, step_ms=STEP_MS, center=(0.0, 0.0), scale=(1.0, 1.0)))
    (folder / "tidecast.toml").write_text(SETTINGS)
    return store.root


# The long run

PER_EXAMPLE = 25
ROUND = 1000  # readings between two waits for the worker: the content of Redis stays small
WARM_UP = 0.3  # of the run: windows fill, the cap is reached, the allocator has had the largest entries
SAMPLES = 15  # rounds whose memory is compared, at the end of the warm-up and at the end


@dataclass(slots=True)
class Fuzz:
    """How a long run went."""

    readings: int = 0
    wrong: int = 0  # dispositions other than the oracle's
    crashes: int = 0  # processes that ended, steps that failed and warnings
    unfinished: int = 0  # forecasts that are not finite
    counts: Counter[str] = field(default_factory=Counter)
    rss_mb: list[float] = field(default_factory=list)  # of the worker, after each round

    @property
    def growth_mb(self) -> float:
        """Of the worker's resident memory, from the end of the warm-up to the end."""
        warm = round(WARM_UP * len(self.rss_mb))
        return median(self.rss_mb[-SAMPLES:]) - median(self.rss_mb[warm : warm + SAMPLES])


def fuzz_run(folder: Path, readings: int, first_seed: int) -> Fuzz:
    """Draw, push and check so many readings, round by round, with one worker process."""
    make_fuzz_store(folder)
    log = folder / "worker.log"
    report = Fuzz()
    oracle = Oracle()
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        worker = start_worker(folder, server.url, log=log)
        try:
            for drawn in _rounds(readings, first_seed):
                push_drawn(redis, oracle, drawn)
                if not _await(redis, oracle, worker):
                    break
                report.unfinished += _sweep(redis)
                report.rss_mb.append(psutil.Process(worker.pid).memory_info().rss / 2**20)
        finally:
            worker.terminate()
            code = worker.wait(timeout=PATIENCE_S)
        report.counts = sum(ended(redis), Counter())
        wrong = [(a - b) + (b - a) for a, b in zip(oracle.ended, ended(redis), strict=True)]
    lines = log.read_text().splitlines()
    report.readings = oracle.placed
    report.wrong = sum(each.total() for each in wrong)
    report.crashes = (code != 0) + sum('"step failed"' in line or "Warning" in line for line in lines)
    return report


def _rounds(readings: int, first_seed: int) -> Iterator[list[Drawn]]:
    """Yield readings drawn by Hypothesis, the same for the same seed."""
    for start in range(0, readings, ROUND):
        yield _draw(first_seed + start)[: readings - start]


def _draw(number: int) -> list[Drawn]:
    drawn: list[Drawn] = []

    @seed(number)
    @settings(
        max_examples=ROUND // PER_EXAMPLE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(drawn_readings(), min_size=PER_EXAMPLE, max_size=PER_EXAMPLE))
    def collect(part: list[Drawn]) -> None:
        drawn.extend(part)

    collect()
    return drawn


def _await(redis: Redis, oracle: Oracle, worker: Forked) -> bool:
    """Wait until every reading has a disposition; False if that does not come to pass."""
    deadline = time.monotonic() + PATIENCE_S
    while sum(each.total() for each in ended(redis)) < oracle.placed:
        if worker.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _sweep(redis: Redis) -> int:
    """Check the published forecasts, and empty the streams; return how many are not finite."""
    bad = 0
    for keys in fuzz_keys():
        entries: Any = redis.xrange(keys.forecasts)
        bad += sum(not math.isfinite(float(fields[b"yhat"])) for _, fields in entries)
        for stream in (keys.readings, keys.forecasts, keys.dead):
            redis.xtrim(stream, maxlen=0, approximate=False)
    return bad


def main() -> int:
    """Run, print the figures, and exit 1 if any reading ended against the oracle."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fuzz", description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz_run(Path(folder), options.readings, options.seed)
    figures = {
        "readings": report.readings,
        **{name: report.counts[name] for name in DISPOSITIONS},
        "wrong": report.wrong,
        "not_finite": report.unfinished,
        "crashes": report.crashes,
        "growth_mb": round(report.growth_mb, 2),
    }
    print(json.dumps({"figures": figures}) if options.json else "\n".join(f"{n:12} {v}" for n, v in figures.items()))
    missing = options.readings - sum(report.counts.values())
    return 1 if missing or report.wrong or report.unfinished or report.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
