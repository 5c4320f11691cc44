"""`tidecast events` and `tidecast anomalies`: print events of series, models and scheduled runs."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import typer

from tidecast.cli.options import CountOption, JsonOption, StreamOptions
from tidecast.cli.times import since_id
from tidecast.errors import TidecastError

SHORTEST_BLOCK_MS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOptions:
    """Which events to print, and how."""

    series: Annotated[
        list[str] | None,
        typer.Option(help="Only events of this series, or of a pattern such as 'boiler-*'; repeat it for more."),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            help="Start at: 1h (ago), 2026-03-01, 2026-03-01T12:00Z, an entry id, 0 (the oldest) or $ (the next). "
            "By default the next; with --once the oldest."
        ),
    ] = None
    once: Annotated[bool, typer.Option("--once", help="Exit after the events that there are already.")] = False
    count: CountOption = None
    as_json: JsonOption = False
    streams: StreamOptions

    def follow(self, kinds: list[str] | None) -> None:
        """Print the events of some kinds, or of all.

        Raises:
            SettingsError: an option is invalid.
        """
        from tidecast.tools.tail import follow_events

        after = since_id(self.since or ("0" if self.once else "$"))
        block_ms = SHORTEST_BLOCK_MS if self.once else 1000
        for sentence in self._unmatched():
            typer.echo(f"tidecast: {sentence}", err=True)
        with self.streams.client() as client:
            chosen = client.events(after, kinds=kinds, series=self.series, block_ms=block_ms, stop_when_idle=self.once)
            follow_events(chosen, self.count, as_json=self.as_json)

    def _unmatched(self) -> list[str]:
        """Return a sentence for each pattern that matches no series: nothing may ever be printed for it."""
        from redis.exceptions import RedisError

        from tidecast.connection import connect
        from tidecast.connection.known_series import unmatched

        if not self.series:
            return []
        settings = self.streams.settings()
        with suppress(RedisError, TidecastError), connect(settings) as redis:  # reading the events reports failures
            return list(unmatched(redis, settings, self.series))
        return []


def events(
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only events of this kind, such as stuck; repeat it for more.")
    ] = None,
    options: EventOptions,
) -> None:
    """Print new events of series, models and scheduled runs (Ctrl+C to stop)."""
    options.follow(kind)


def anomalies(*, options: EventOptions) -> None:
    """Print where anomalies begin and end, as it happens (Ctrl+C to stop)."""
    options.follow(["anomaly"])
