"""Log warnings about a partition's stream of readings: at once, then every hour while the cause lasts."""

import structlog

from tidecast.connection.lag import Lag
from tidecast.wire import id_pair
from tidecast.wire.parsing import ID_AHEAD_MS
from worker.metrics import Health
from worker.partition.exchange.entry_reader import RecreatedStream

WARN_EVERY_S = 3600.0
LOST_EVERY_S = 60.0  # of readings that were trimmed: a worker that is too slow loses some in each batch

log = structlog.get_logger("tidecast.worker")


class StreamWarnings:
    """The warnings about one partition's stream, and the metrics of the same causes.

    Args:
        partition: its number.
        health: the metrics.

    Attributes:
        lag: the lag of the partition while reads return no entries.
    """

    def __init__(self, partition: int, health: Health) -> None:
        self.lag = Lag()
        self._partition = partition
        self._health = health
        self._warned_at = -WARN_EVERY_S
        self._stuck_at = -WARN_EVERY_S
        self._twin_at = -WARN_EVERY_S
        self._lost = 0  # readings that no line of the log has counted yet
        self._lost_at = -LOST_EVERY_S

    def ids_ahead(self, newest: str, now: float) -> None:
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

    def lost(self, readings: int, last: str, now: float) -> None:
        """Warn of readings that were trimmed before they were read: at once, then one line a minute for all of it.

        Args:
            readings: how many were lost before a batch.
            last: the id of the last entry before them.
            now: epoch seconds.
        """
        self._lost += readings
        if self._lost and not 0 <= now - self._lost_at < LOST_EVERY_S:
            log.error(
                "readings were trimmed before they were read", partition=self._partition, lost=self._lost, after=last
            )
            self._lost_at = now
            self._lost = 0

    def miscounted(self, lag: Lag, last: str) -> None:
        """Warn if the stream has counted fewer entries than were read, up to `last`."""
        if lag.correction < 0:
            log.warning(
                "stream of readings was recreated",
                partition=self._partition,
                after=last,
                meaning="they count fewer entries than were read; any that are not after this id are not answered",
            )

    def recreated(self, stream: RecreatedStream | None, last: str, now: float) -> None:
        """Record and log a recreated stream, whose ids end before `last`, the last one answered; None: all is well."""
        stuck = stream is not None and bool(stream.in_the_way)
        self._health.stuck(self._partition, stuck=stuck)
        self.lag = stream.lag if stream else Lag()
        self._health.lag(self._partition, self.lag)
        if stream is None:
            self._stuck_at = -WARN_EVERY_S
        elif not stuck:
            log.warning(
                "stream of readings was recreated", partition=self._partition, answered_to=last, first=stream.first
            )
        elif not 0 <= now - self._stuck_at < WARN_EVERY_S:
            self._stuck_at = now
            log.error(
                "readings cannot be answered",
                partition=self._partition,
                readings=stream.lag.unread,
                error=f"their ids end at {stream.newest}, before the last one answered: the stream was recreated",
                answered_to=last,
                remedy=f"rename {' and '.join(stream.in_the_way)}, which hold higher ids: the worker then goes on",
            )

    def lost_data(self, before: str, last: str) -> None:
        """Report that Redis has lost what it had confirmed, if the offset is lower than the one committed before."""
        if id_pair(last) >= id_pair(before):
            return
        log.error(
            "Redis has lost data",
            partition=self._partition,
            answered_to=before,
            offset=last,
            meaning="it was emptied, restored, restarted without its last writes, or evicted keys; "
            "readings that it has are answered",
            remedy="see docs/how-to/backup.md, and set appendonly yes and maxmemory-policy noeviction",
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
        self.lag = Lag()
        self._health.ids_ahead(self._partition, None)
        self._health.stuck(self._partition, stuck=False)
