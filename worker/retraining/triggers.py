"""Compute when runs are due, from the settings and a time."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from tidecast.durations import duration_text
from tidecast.errors import SettingsError
from tidecast.schedule_choice import ScheduleChoice
from tidecast.settings import NEVER, RetrainSettings
from worker.retraining.crontab import Crontab

MOST_MISSED = 1000  # missed due times are counted up to this number
NEVER_MS = 2**53  # the due time after the last time of a cron that ends
RETRY_S = 10.0  # the pause before the second try, doubled each time
RETRY_SHARE = 0.1  # the longest pause, as a share of the time between two runs


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of a schedule: an interval or a crontab line, and its text in the record.

    Attributes:
        text: a short form of the settings.
        when: the interval in milliseconds, or a crontab line.
        yields: whether another schedule of the same partition takes precedence, since this one is a default.
    """

    text: str
    when: int | Crontab
    yields: bool = False

    def first(self, now_ms: int) -> int:
        """Return the first due time of a schedule that starts now: an interval later, or the next crontab time."""
        if isinstance(self.when, Crontab):
            return self.after(now_ms, now_ms)
        return now_ms // 1000 * 1000 + self.when

    def after(self, due_ms: int, now_ms: int) -> int:
        """Return the first due time after both a due time and now."""
        start = max(due_ms, now_ms)
        if isinstance(self.when, Crontab):
            due = self.when.after(_datetime(start))
            return round(due.timestamp() * 1000) if due else NEVER_MS
        return due_ms + self.when * ((start - due_ms) // self.when + 1)

    def missed(self, due_ms: int, now_ms: int) -> int:
        """Return how many due times after `due_ms` have passed by now, at most `MOST_MISSED`."""
        if isinstance(self.when, int):
            return min(MOST_MISSED, max(0, now_ms - due_ms) // self.when)
        count = 0
        while count < MOST_MISSED and (due_ms := self.after(due_ms, due_ms)) <= now_ms:
            count += 1
        return count

    def pause_ms(self, tries: int, due_ms: int) -> int:
        """Return the pause after a number of tries: 10 s, doubled each time, at most a tenth of the period."""
        period_s = (self.after(due_ms, due_ms) - due_ms) / 1000
        return math.ceil(1000 * min(RETRY_S * 2.0 ** min(tries - 1, 30), RETRY_SHARE * period_s))

    def longest_pause_ms(self, due_ms: int) -> int:
        """Return the longest pause before another try of a run."""
        return self.pause_ms(31, due_ms)


def timing_of(settings: RetrainSettings) -> Timing | None:
    """Return the timing of the settings; None if they do not set a schedule.

    Raises:
        SettingsError: `every` and `cron` are both set, or one of them or the zone is invalid.
    """
    every = settings.every
    if every == NEVER and not settings.cron:
        return None
    if every and settings.cron:
        raise SettingsError("settings retrain.every and retrain.cron are both set: leave one of them out")
    if isinstance(every, float):
        return Timing(f"every {duration_text(every)}", round(1000 * every))
    return _cron(settings.cron, settings.time_zone) if settings.cron else None


def timing_chosen(choice: ScheduleChoice) -> Timing | None:
    """Return the timing of a schedule; None without a schedule.

    Raises:
        SettingsError: as `timing_of`.
    """
    timing = timing_of(choice.retrain) if choice.on else None
    return replace(timing, yields=True) if timing and choice.by_default else timing


def timing_named(text: str) -> Timing | None:
    """Return the timing for a text in a record; None if the text is invalid."""
    kind, _, when = text.partition(" ")
    line, _, zone = when.rpartition(" ")
    given = {"every": {"every": when}, "cron": {"cron": line, "time_zone": zone}}.get(kind)
    try:
        return timing_of(RetrainSettings(**given)) if given else None
    except (SettingsError, ValueError):
        return None


def _cron(text: str, zone: str) -> Timing:
    where = _zone(zone)
    try:
        crontab = Crontab(text, where)
        comes = crontab.after(datetime.now(UTC))
    except ValueError as exc:
        raise SettingsError(
            f'setting retrain.cron is "{text}": {exc}: write minute, hour, day, month and weekday, as "0 3 * * *"'
        ) from exc
    if comes is None:
        raise SettingsError(f'setting retrain.cron is "{text}", a time that never comes: correct it')
    return Timing(f"cron {text} {zone}", crontab)


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC  # works without the system's time zone data
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as exc:
        raise SettingsError(
            f"setting retrain.time_zone is {name!r}, which this system does not know: write it as Europe/Berlin, "
            "or install tzdata"
        ) from exc


def _datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
