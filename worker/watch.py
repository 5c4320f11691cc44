"""Warn of what is odd about a partition's stream of readings: once, then now and then while it lasts."""

import structlog

from tidecast.parsing import ID_AHEAD_MS
from worker.health import Health

WARN_EVERY_S = 3600.0

log = structlog.get_logger("tidecast.worker")


class Watch:
    """Compare the entry ids of one partition with the clock.

    Args:
        partition: its number.
        health: receives how far the ids are ahead.
    """

    def __init__(self, partition: int, health: Health) -> None:
        self._partition = partition
        self._health = health
        self._warned_at = -WARN_EVERY_S

    def ids(self, newest: str, now: float) -> None:
        """Warn where the newest id read is ahead of the clock: ids never go back, so all later ones are as well.

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

    def forget(self) -> None:
        """The partition is another worker's."""
        self._health.ids_ahead(self._partition, None)
