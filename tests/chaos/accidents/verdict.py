"""Judge how a Tidecast came through an accident, from the input and from what its consumers read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from redis import Redis

from tests.chaos.accidents.readings import is_broken
from tests.chaos.harness import EPOCH

Answers = list[tuple[str, bytes, dict[bytes, bytes]]]  # stream, id, fields


@dataclass(slots=True)
class Verdict:
    """How a Tidecast came through an accident.

    Attributes:
        readings: how many were pushed.
        lost: those of them from before the end of the accident that have no answer that was ever readable.
        gone: answers that a follower has read and that have left Redis; like `lost`, they are allowed where the
            accident destroys data.
        missing: those pushed after the accident that have no answer; where nothing may be lost, those lost or gone.
        duplicated: answers that a follower read twice, or beyond one for each reading.
        disordered: answers that a follower or a later reader gets before an earlier one.
        wrong_value: answers with another series, time or value than the reading's, or repeated with another content.
        miscounted: by how much dispositions and `lost` differ from the entries added.
        restarted: workers that have ended.
        notes: the violations, in sentences.
    """

    readings: int = 0
    lost: int = 0
    gone: int = 0
    missing: int = 0
    duplicated: int = 0
    disordered: int = 0
    wrong_value: int = 0
    miscounted: int = 0
    restarted: int = 0
    notes: list[str] = field(default_factory=list)

    def violations(self) -> int:
        """Return the number of violations."""
        answers = self.missing + self.duplicated + self.disordered + self.wrong_value
        return answers + self.miscounted + self.restarted


def judge(
    verdict: Verdict,
    entries: Sequence[dict[bytes, bytes]],
    after: int,
    met: Answers,
    published: Answers,
    *,
    loses: bool,
) -> None:
    """Add the faults of the answers to a verdict.

    Args:
        verdict: with the number of readings pushed.
        entries: the readings.
        after: the first one pushed after the accident.
        met: the answers that a follower has read, in its order.
        published: the answers in Redis in the end.
        loses: whether the accident may lose readings.
    """
    for answers in (met, published):
        for stream in ("forecasts", "dead"):
            order = [_number(answer_id) for name, answer_id, _ in answers if name == stream]
            verdict.disordered += sum(a > b for a, b in pairwise(order))
            verdict.duplicated += len(order) - len(set(order))
    content: dict[bytes, tuple[str, dict[bytes, bytes]]] = {}
    for stream, answer_id, fields in [*met, *published]:
        if content.setdefault(answer_id, (stream, fields)) != (stream, fields) or not _fits(
            entries, stream, answer_id, fields
        ):
            verdict.wrong_value += 1
            verdict.notes.append(f"{stream} {answer_id!r} is {fields}")
    there = {_number(answer_id) for _, answer_id, _ in published}
    known = {_number(answer_id) for _, answer_id, _ in met}
    verdict.lost = sum(n not in there | known for n in range(after))
    verdict.gone = len(known - there)
    missing = [n for n in range(after if loses else 0, verdict.readings) if n not in there]
    verdict.missing = len(missing)
    verdict.notes += [
        f"reading {n} of {verdict.readings} has no answer, the accident ended at {after}" for n in missing
    ]


def _fits(entries: Sequence[dict[bytes, bytes]], stream: str, answer_id: bytes, fields: dict[bytes, bytes]) -> bool:
    """Return whether an answer repeats its reading."""
    number = _number(answer_id)
    reading = entries[number]
    if stream == "dead":
        return is_broken(number) and fields[b"original.value"] == reading[b"value"]
    return (fields[b"series"], fields[b"origin"], float(fields[b"y"])) == (
        reading[b"series"],
        reading[b"ts"],
        float(reading[b"value"]),
    )


def _number(answer_id: bytes) -> int:
    """Return the number of the reading with this id: the inverse of `entry_id`."""
    ms, _, seq = answer_id.partition(b"-")
    return 7 * (int(ms) - EPOCH) + int(seq) - 1


def check_counts(verdict: Verdict, redis: Redis) -> None:
    """Check that every entry ever added to the stream has a disposition or is counted as lost."""
    info: Any = redis.xinfo_stream("readings")
    offset: Any = redis.hgetall("offset")
    counts = Counter({name.decode(): int(number) for name, number in offset.items() if name != b"last"})
    answered = sum(counts[name] for name in ("forecast", "duplicate", "late", "dead", "lost"))
    added = int(info.get("entries-added", answered))  # unknown before Redis 7
    verdict.miscounted = abs(added - answered)
    if verdict.miscounted:
        verdict.notes.append(f"{added} entries were added, but the counts are {dict(counts)}")
