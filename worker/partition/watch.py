"""Warn about anomalies in a partition's stream of readings: once, then every hour while they last."""

import structlog

from tidecast.wire.parsing import ID_AHEAD_MS
from worker.metrics import Health
from worker.partition.backlog import Anew, Backlog

WARN_EVERY_S = 3600.0

log = structlog.get_logger("tidecast.worker")


class StreamWatch:
    """A monitor that compares the entry ids of one partition with the clock and with the offset.

    Args:
        partition: its number.
        health: the metrics.

    Attributes:
        backlog: the backlog of the partition while reads return no entries.
    """

    def __init__(self, partition: int, health: Health) -> None:
        self.backlog = Backlog()
        self._partition = partition
        self._health = health
        self._warned_at = -WARN_EVERY_S
        self._stuck_at = -WARN_EVERY_S
        self._twin_at = -WARN_EVERY_S

    def ids(self, newest: str, now: float) -> None:
        """Warn if the newest id read is ahead of the clock: ids never decrease, so all later ones are ahead too.

        Args:
            newest: an entry id.
            now: epoch seconds.
        """
        ahead_ms = int(newest.partition("-")[0]) - round(now * 1000)
        believed = ahead_ms <= ID_AHEAD_MS
        self._health.ids_ahead(self._partition, 0.0 if believed else ahead_ms / 1000)
        if not believed and not 0 <= now - self._warned_at < WARN_EVERY_S:
            self._warned_at = now
            log.warning(
                "entry ids are ahead of the clock",
                partition=self._partition,
                id=newest,
                ahead_s=ahead_ms // 1000,
                meaning="readings without a ts get the worker's clock as their time",
                remedy="send a ts, or see `tidecast doctor`",
            )

    def count(self, backlog: Backlog, last: str) -> None:
        """Warn if the stream has counted fewer entries than were read, up to `last`."""
        if backlog.shift < 0:
            log.warning(
                "readings were begun anew",
                partition=self._partition,
                after=last,
                meaning="they count fewer entries than were read; any that are not after this id are not answered",
            )

    def anew(self, anew: Anew | None, last: str, now: float) -> None:
        """Record and log a recreated stream, whose ids end before `last`, the last one answered; None: all is well."""
        stuck = anew is not None and bool(anew.in_the_way)
        self._health.stuck(self._partition, stuck=stuck)
        self.backlog = anew.backlog if anew else Backlog()
        self._health.behind(self._partition, self.backlog)
        if anew is None:
            self._stuck_at = -WARN_EVERY_S
        elif not stuck:
            log.warning("readings were begun anew", partition=self._partition, answered_to=last, first=anew.first)
        elif not 0 <= now - self._stuck_at < WARN_EVERY_S:
            self._stuck_at = now
            log.error(
                "readings cannot be answered",
                partition=self._partition,
                readings=anew.waiting,
                error=f"their ids end at {anew.newest}, before the last one answered: the stream was begun anew",
                answered_to=last,
                remedy=f"rename {' and '.join(anew.in_the_way)}, which hold higher ids: the worker then goes on",
            )

    def twin(self, name: str, now: float) -> None:
        """Warn that another worker of the same name holds the partition."""
        if 0 <= now - self._twin_at < WARN_EVERY_S:
            return
        self._twin_at = now
        log.error(
            "another worker has the same name",
            partition=self._partition,
            name=name,
            meaning="it has taken the partition over, and this worker stands by",
            remedy="give each worker a worker.name of its own, or leave it empty",
        )

    def group(self, group: str) -> None:
        """Warn that the consumer group that is waited for does not exist."""
        log.warning(
            "the consumer group that is waited for does not exist",
            partition=self._partition,
            group=group,
            meaning="once worker.forecasts_kept forecasts are there, no reading is answered any more",
            remedy="create it with XGROUP CREATE, or correct worker.wait_for_group",
        )

    def forget(self) -> None:
        """Reset the metrics of a partition that this worker does not hold any more."""
        self.backlog = Backlog()
        self._health.ids_ahead(self._partition, None)
        self._health.stuck(self._partition, stuck=False)
