"""What must have been published, recomputed by an undisturbed worker, and how a disturbed one's streams differ."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from redis import Redis

Entries = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Published:
    """All that a worker has published."""

    forecasts: Entries
    dead: Entries
    counts: dict[bytes, bytes]
    states: dict[bytes, bytes]

    @classmethod
    def read(cls, redis: Redis) -> "Published":
        """Read everything from Redis."""
        counts = redis.hgetall("offset")
        return cls(redis.xrange("forecasts"), redis.xrange("dead"), counts, redis.hgetall("state"))


@dataclass(slots=True)
class Violations:
    """What was promised and not kept, counted by kind."""

    missing: int = 0
    duplicated: int = 0
    disordered: int = 0
    wrong_value: int = 0
    notes: list[str] = field(default_factory=list)

    def total(self) -> int:
        """All violations together."""
        return self.missing + self.duplicated + self.disordered + self.wrong_value


def compare(expected: Published, found: Published) -> Violations:
    """Compare a disturbed run with the undisturbed one, entry by entry and field by field."""
    violations = Violations()
    for name, wanted, got in (
        ("forecasts", expected.forecasts, found.forecasts),
        ("dead", expected.dead, found.dead),
    ):
        _compare_stream(name, wanted, got, violations)
    if expected.counts != found.counts:
        violations.wrong_value += 1
        violations.notes.append(f"counts {found.counts} instead of {expected.counts}")
    if expected.states != found.states:
        violations.wrong_value += 1
        violations.notes.append("the states differ")
    return violations


def _compare_stream(name: str, wanted: Entries, got: Entries, violations: Violations) -> None:
    ids = Counter(entry_id for entry_id, _ in got)
    by_id = dict(got)
    order = [_pair(entry_id) for entry_id, _ in got]
    violations.duplicated += sum(n - 1 for n in ids.values())
    violations.disordered += sum(a >= b for a, b in pairwise(order))
    expected = dict(wanted)
    violations.missing += len(expected.keys() - by_id.keys())
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
