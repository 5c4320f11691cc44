"""Runs of the schedule in tests: a stand-in for the trainer's child, and the check that record and events agree."""

import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from redis import Redis

from tests.harness.patience import PATIENCE_S

SUMMARY = '{"trained": 3, "kept": 1, "refused": 0, "put_off": 2, "seconds": 1.5}'
# In place of the trainer, which takes seconds to start: a few lines that do the work of one test.
BEGIN = "import json, os, signal, sys, time\ntold = json.loads(sys.stdin.readline())\n"
FINISH = f"print({SUMMARY!r})\n"
_ENDED = re.compile(r"the run due at (\S+) has (?:finished|failed): .*?(?:; (\d+) more due times? went by meanwhile)?")


def stand_in(program: str) -> tuple[str, ...]:
    """Return the command of a child that reads its request and then does this."""
    return (sys.executable, "-c", BEGIN + program)


def record(redis: Redis, key: str = "retrain") -> dict[str, Any]:
    """Return the record as text."""
    return {name.decode(): value.decode() for name, value in redis.hgetall(key).items()}


def events(redis: Redis, key: str = "events") -> list[tuple[str, str]]:
    """Kind and detail of every event."""
    return [(fields[b"kind"].decode(), fields[b"detail"].decode()) for _, fields in redis.xrange(key)]


def ended(redis: Redis) -> list[tuple[int, int]]:
    """Return the due time of every run that ended, in epoch milliseconds, and how many others went by until it did."""
    return _ended(events(redis))


def _ended(told: list[tuple[str, str]]) -> list[tuple[int, int]]:
    matches = [_ENDED.fullmatch(detail) for kind, detail in told if kind in ("finished", "failed")]
    return [
        (round(1000 * datetime.fromisoformat(match[1]).timestamp()), int(match[2] or 0)) for match in matches if match
    ]


def check_each_due_ended_once(redis: Redis, every_ms: int) -> int:
    """Check that each due time ended once and that the record matches the events; return how many runs ended."""
    with redis.pipeline() as at_once:  # a run may end between two looks
        entries, fields = at_once.xrange("events").hgetall("retrain").execute()
    runs = _ended([(entry[b"kind"].decode(), entry[b"detail"].decode()) for _, entry in entries])
    job = {name.decode(): value.decode() for name, value in fields.items()}
    following = [due + every_ms * (1 + missed) for due, missed in runs]
    assert following[:-1] == [due for due, _ in runs[1:]]
    assert int(job.get("runs", 0)) == len(runs)
    if runs:
        assert following[-1] == int(job["next_ms"])
    return len(runs)


def gone(pid: int, within_s: float = PATIENCE_S) -> bool:
    """Return whether a process ends within a while."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            # A zombie of another parent's is gone too.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
