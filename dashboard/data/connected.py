"""The base of the readers that a page calls on a thread: their settings, and a connection that is made when needed."""

from contextlib import suppress
from functools import cached_property

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.partitions import PresentSettings
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Keys, Part, layout_of


class Connected:
    """A reader for all viewers; its methods block for a moment.

    Args:
        settings: where Redis and the store are.
    """

    def __init__(self, settings: Settings) -> None:
        self._present = PresentSettings(settings)
        self._last = settings

    @property
    def _settings(self) -> Settings:
        """Return the settings with the present number of partitions; while Redis stores no valid one, as they were."""
        with suppress(SettingsError):  # the banner shows it
            self._last = self._present()
        return self._last

    @cached_property
    def _redis(self) -> Redis:
        return connect(self._settings)

    def _keys_of(self, series: str) -> Keys:
        """Return the keys of a series' partition."""
        return layout_of(self._settings).keys_for(series)

    def _parts_for(self, series: str) -> list[Part]:
        """Return the partitions that a series has belonged to, the present one first."""
        return layout_of(self._settings).parts_for(series)
