"""The base of the readers that a page calls on a thread: their settings, and a connection that is made when needed."""

from functools import cached_property

from redis import Redis

from tidecast.connection import connect
from tidecast.settings import Settings
from tidecast.wire import Keys, keys_of, partition_of


class Connected:
    """A reader for all viewers; its methods block for a moment.

    Args:
        settings: where Redis and the store are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _redis(self) -> Redis:
        return connect(self._settings)

    def _all_keys(self) -> list[Keys]:
        """Return the keys of every partition."""
        partitions = self._settings.partitions
        return [keys_of(partition, partitions, self._settings.namespace) for partition in range(partitions)]

    def _keys_of(self, series: str) -> Keys:
        """Return the keys of a series' partition."""
        return self._all_keys()[partition_of(series, self._settings.partitions)]
