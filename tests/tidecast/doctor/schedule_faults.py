"""Faults of the schedule of retraining, and of the process that posts events."""

import time

from tests.harness.installation import Installation
from tidecast.settings import NotifySettings, RetrainSettings
from worker.retraining.job_state import Claim

TEN_YEARS_MS = 3650 * 86_400_000
AHEAD_MS = time.time_ns() // 1_000_000 + TEN_YEARS_MS


def overdue(installation: Installation) -> None:
    """A run that should have begun an hour ago."""
    installation.redis.hset("retrain", "next_ms", installation.began_ms - 3_600_000)


def kept_by_nobody_by_default(installation: Installation) -> Installation:
    """Return the same with the default schedule."""
    installation.redis.delete("retrain")
    return installation.told(retrain=RetrainSettings())


def claim(installation: Installation) -> Claim:
    """Return a run that has begun."""
    due_ms = installation.began_ms
    installation.redis.hset("retrain", "next_ms", due_ms)
    claimed = installation.record.claim(due_ms, "t", 0)
    assert isinstance(claimed, Claim)
    return claimed


def run_failed(installation: Installation) -> None:
    """A run that was given up."""
    installation.record.fail(claim(installation), "no memory", installation.began_ms + 3_600_000, 0)


def run_died(installation: Installation) -> None:
    """A run that has sent no sign of life since."""
    claim(installation)
    installation.redis.hset("retrain", "expires_ms", installation.began_ms)


def distant_retry(installation: Installation) -> None:
    """A retry in ten years."""
    installation.record.put_off(claim(installation), "no memory", installation.began_ms + TEN_YEARS_MS)


def distant_claim(installation: Installation) -> None:
    """A run that is claimed for ten years."""
    claim(installation)
    installation.redis.hset("retrain", "expires_ms", installation.began_ms + TEN_YEARS_MS)


def nobody_notifies(installation: Installation) -> Installation:
    """Return an address that no process posts to."""
    return installation.told(notify=NotifySettings(url="http://127.0.0.1:1"))


def _notifies(installation: Installation, **fields: str | int) -> Installation:
    """Return an installation with a process that posts events, and with these fields in its record."""
    alive = {"owner": "n", "expires_ms": AHEAD_MS, "after:events": "0-0"}
    installation.redis.hset("notify", mapping={**alive, **fields})
    return nobody_notifies(installation)


def not_delivered(installation: Installation) -> Installation:
    """Return a receiver that refuses the token."""
    return _notifies(installation, failing_since_ms=installation.began_ms, error="http://pager:80 answers 401")


def refused_events(installation: Installation) -> Installation:
    """Return a receiver of another format, which refuses each event."""
    return _notifies(installation, refused_ms=installation.began_ms, refusal="http://pager:80 answers 400 Bad Request")


def trimmed_events(installation: Installation) -> Installation:
    """Return a receiver that was away while more events came than are kept."""
    return _notifies(installation, gap_ms=installation.began_ms)


def waiting_events(installation: Installation) -> Installation:
    """Return a receiver that takes too few messages a minute."""
    installation.redis.delete("events")
    installation.redis.xadd("events", {"kind": "stuck", "detail": "", "series": "a"}, id="1-0")
    return _notifies(installation)
