"""The expected entries, recomputed by an undisturbed worker, and the differences in a disturbed one's streams."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from redis import Redis

from tests.harness.states import all_whole
from tidecast.errors import StateError
from tidecast.wire import keys_of

Entries = list[tuple[bytes, dict[bytes, bytes]]]
KINDS = ("missing", "duplicated", "disordered", "wrong_window", "wrong_value")


@dataclass(frozen=True, slots=True)
class Published:
    """All that a partition's workers have published; of the events those that readings have caused."""

    forecasts: Entries
    dead: Entries
    counts: dict[bytes, bytes]
    states: dict[bytes, bytes]
    events: list[dict[bytes, bytes]] = field(default_factory=list)

    @classmethod
    def read(cls, redis: Redis, partition: int = 0, partitions: int = 1) -> "Published":
        """Read everything from Redis."""
        keys = keys_of(partition, partitions)
        counts = redis.hgetall(keys.offset)
        events = [fields for _, fields in redis.xrange(keys.events) if b"reading" in fields or b"since" in fields]
        return cls(redis.xrange(keys.forecasts), redis.xrange(keys.dead), counts, redis.hgetall(keys.state), events)


@dataclass(slots=True)
class Violations:
    """Broken promises, counted by kind.

    Attributes:
        missing: forecasts and dead letters that are not there.
        duplicated: those that are there more than once.
        disordered: those that do not come after the one before them.
        wrong_window: series whose state, window and all, is not byte for byte that of the undisturbed run.
        wrong_value: entries with another content, or that should not be there; partitions with other counts.
        notes: one sentence for each.
    """

    missing: int = 0
    duplicated: int = 0
    disordered: int = 0
    wrong_window: int = 0
    wrong_value: int = 0
    notes: list[str] = field(default_factory=list)

    def total(self) -> int:
        """Return all violations together."""
        return sum(self.by_kind().values())

    def by_kind(self) -> dict[str, int]:
        """Return the numbers without the notes."""
        return {kind: getattr(self, kind) for kind in KINDS}


def compare(expected: Published, actual: Published) -> Violations:
    """Compare a disturbed run with the undisturbed one, entry by entry and field by field."""
    violations = Violations()
    _compare_stream("forecasts", expected.forecasts, actual.forecasts, violations)
    _compare_stream("dead", expected.dead, actual.dead, violations)
    _compare_events(expected.events, actual.events, violations)
    if expected.counts != actual.counts:
        violations.wrong_value += 1
        violations.notes.append(f"counts {actual.counts} instead of {expected.counts}")
    expected_states = _states(expected)
    actual_states = _states(actual)
    for series in sorted(expected_states.keys() | actual_states.keys()):
        if expected_states.get(series) != actual_states.get(series):
            violations.wrong_window += 1
            violations.notes.append(f"the state of {series!r} differs")
    return violations


def _compare_events(
    expected: list[dict[bytes, bytes]], actual: list[dict[bytes, bytes]], violations: Violations
) -> None:
    """Compare events without their ids, which are times of commits."""
    expected_counts = Counter(tuple(sorted(fields.items())) for fields in expected)
    actual_counts = Counter(tuple(sorted(fields.items())) for fields in actual)
    absent = expected_counts - actual_counts
    further = actual_counts - expected_counts
    violations.missing += absent.total()
    violations.duplicated += further.total()
    violations.notes += [f"the event {dict(event)} is missing" for event in absent]
    violations.notes += [f"the event {dict(event)} should not be there" for event in further]


def _states(published: Published) -> dict[str, bytes]:
    """Return the state of each series; raw bytes where it cannot be decoded."""
    fields = {name.decode(): raw for name, raw in published.states.items()}
    try:
        return all_whole(fields)
    except StateError:
        return fields


def compare_all(pairs: Iterable[tuple[Published, Published]]) -> Violations:
    """Compare partition by partition, (expected, found), and add up."""
    total = Violations()
    for number, (expected, published) in enumerate(pairs):
        part = compare(expected, published)
        for kind, count in part.by_kind().items():
            setattr(total, kind, getattr(total, kind) + count)
        total.notes += [f"partition {number}: {note}" for note in part.notes]
    return total


def _compare_stream(name: str, wanted: Entries, got: Entries, violations: Violations) -> None:
    ids = Counter(entry_id for entry_id, _ in got)
    by_id = dict(got)
    order = [_pair(entry_id) for entry_id, _ in got]
    violations.duplicated += sum(n - 1 for n in ids.values())
    violations.disordered += sum(a >= b for a, b in pairwise(order))
    expected = dict(wanted)
    absent = expected.keys() - by_id.keys()
    violations.missing += len(absent)
    violations.notes += [f"{name} {entry_id!r} is missing" for entry_id in sorted(absent, key=_pair)]
    for entry_id in by_id.keys() - expected.keys():
        violations.wrong_value += 1
        violations.notes.append(f"{name} {entry_id!r} should not be there")
    for entry_id in expected.keys() & by_id.keys():
        if expected[entry_id] != by_id[entry_id]:
            violations.wrong_value += 1
            violations.notes.append(f"{name} {entry_id!r} is {by_id[entry_id]} instead of {expected[entry_id]}")


def _pair(entry_id: bytes) -> tuple[int, int]:
    ms, _, seq = entry_id.partition(b"-")
    return int(ms), int(seq)
