"""The actions of the buttons: retrain a series in a child process, roll back to the previous version, and mute."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tidecast.connection import connect, explain
from tidecast.connection.partitions import at_present
from tidecast.connection.records.manual_acts import record_promotion
from tidecast.connection.records.mutes import Mute, mute_series, unmute_series
from tidecast.errors import TidecastError
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.store import ModelStore
from tidecast.moments import utc_text
from tidecast.settings import Settings, environment_with
from tidecast.start import child_command
from tidecast.wire import Keys, layout_of


@dataclass(slots=True)
class Actions:
    """The actions of the buttons; each returns a sentence to show.

    Attributes:
        settings: where Redis and the store are.
        under_way: the series that are being retrained.
        results: the result of the newest action on each series, with its time.
    """

    settings: Settings
    under_way: set[str] = field(default_factory=set)
    results: dict[str, str] = field(default_factory=dict)

    async def retrain(self, series: str) -> str:
        """Retrain a series, whether due or not, as `tidecast retrain SERIES` does."""
        if series in self.under_way:
            return f"{series} is being retrained already"
        self.under_way.add(series)
        try:
            return await self._retrain(series)
        finally:
            self.under_way.discard(series)

    async def _retrain(self, series: str) -> str:
        command = child_command("tidecast.cli", "retrain", "--json")
        if self.settings.namespace:
            command += ["--namespace", self.settings.namespace]
        command += ["--store", str(self.settings.store), "--", series]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment_with(self.settings.redis_url.get_secret_value()),
        )
        try:
            output, errors = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["the command printed nothing"]
            return f"Retraining {series} failed: {last[0]}"
        return f"{series}: {summary_text(json.loads(output.decode().splitlines()[-1]))}"

    def mute(self, series: str, for_ms: int | None, user: str) -> str:
        """Mute a series for a time, or until it is unmuted, and write the event; this blocks for a moment."""
        now_ms = round(time.time() * 1000)
        until_ms = None if for_ms is None else now_ms + for_ms
        sentence = "until it is unmuted" if until_ms is None else f"until {utc_text(until_ms)}"
        return self._written(
            lambda redis, keys: mute_series(redis, keys, series, Mute(now_ms, until_ms, user)),
            series,
            f"{series} is muted {sentence}",
        )

    def unmute(self, series: str, user: str) -> str:
        """End the mute of a series, and write the event; this blocks for a moment."""
        return self._written(
            lambda redis, keys: unmute_series(redis, keys, series, user), series, f"{series} is not muted any more"
        )

    def _written(self, write: Callable[[Redis, Keys], None], series: str, sentence: str) -> str:
        try:
            with connect(self.settings) as redis:
                write(redis, layout_of(at_present(redis, self.settings)).keys_for(series))
        except RedisError as exc:
            return f"Redis could not be written: {explain(exc)}"
        except TidecastError as exc:  # Redis stores no valid number of partitions
            return f"Redis could not be written: {exc}"
        return sentence

    def rollback(self, series: str) -> str:
        """Switch back to the previous version."""
        try:
            store = ModelStore(Path(self.settings.store))
            number = store.rollback(series)
            copy_changes(store, self.settings.bucket.url)
        except (TidecastError, OSError) as exc:
            return f"No rollback: {exc}"
        record_promotion(self.settings, series, number, back=True, program="dashboard")
        return f"{series}: version {number} answers again"


def summary_text(summary: Mapping[str, object]) -> str:
    """Format the summary that `tidecast retrain --json` prints: `1 trained, 2 kept`; zeros are left out."""
    counts = {name: value for name, value in summary.items() if isinstance(value, int) and not isinstance(value, bool)}
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items() if value) or "nothing to do"
