"""Warn of workers beside this one that have other settings: the forecasts of a series then depend on who answers."""

import structlog

from tidecast import __version__
from tidecast.settings import Settings, worker_name
from tidecast.settings.agreed import REMEDY, agreed_settings, differences
from worker.failures.log_limiter import LogLimiter

log = structlog.get_logger("tidecast.worker")


class OtherSettings:
    """The comparison of this worker's settings with those of the workers that hold partitions.

    Args:
        settings: those of this worker.

    Attributes:
        ours: as they are stored with a lease.
    """

    def __init__(self, settings: Settings) -> None:
        self.ours = agreed_settings(settings, __version__)
        self._name = worker_name(settings)
        self._limiter = LogLimiter()

    def compare(self, owner: bytes, theirs: bytes) -> None:
        """Log how the settings of another worker differ: at once, then less and less often."""
        text = differences(
            self.ours, theirs.decode(errors="replace"), self._name, owner.decode(errors="backslashreplace")
        )
        if text and self._limiter.count(text):
            log.warning("another worker has other settings", differences=text, remedy=REMEDY)
