"""A series' longer history on a real Redis: each source continues where the newer one ends."""

from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from dashboard.data import history as module
from dashboard.data.history import HistoryReader, SeriesPoints
from dashboard.data.recent import NAIVE, ORIGIN, YHAT, Y
from tests.dashboard.streams import entry
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.settings import Settings, load_settings
from tidecast.wire import layout_of
from trainer.data.archive import Archive

NAME = "boiler-7"
MINUTE_MS = 60_000
BEGIN = 1_700_000_000_000
NEWEST = BEGIN + 99 * MINUTE_MS


def at(turn: int) -> int:
    """Return the time of a reading."""
    return BEGIN + turn * MINUTE_MS


def forecast(redis: Redis, *turns: int) -> None:
    """Write forecasts of the series, each after one of another series."""
    for turn in turns:
        _, fields = entry(NAME, 0, float(turn), float(turn) + 0.5)
        redis.xadd("forecasts", dict(entry("other", 0, 0.0, 0.0)[1]), id=f"{at(turn)}-0")
        redis.xadd("forecasts", dict(fields | {b"origin": str(at(turn)).encode()}), id=f"{at(turn)}-1")


def push(redis: Redis, *turns: int) -> None:
    """Write readings of the series, each after one that cannot be read."""
    for turn in turns:
        redis.xadd("readings", {"series": NAME, "value": "many"}, id=f"{at(turn)}-0")
        redis.xadd("readings", {"series": NAME, "value": turn, "ts": at(turn)}, id=f"{at(turn)}-1")


def read(settings: Settings, turns: int) -> SeriesPoints:
    """Return the history over a span that begins so many readings before the newest."""
    return HistoryReader(settings).read(NAME, NEWEST, turns * MINUTE_MS)


def test_forecasts_are_read_back_to_the_beginning_of_the_span(settings: Settings, redis: Redis) -> None:
    """Not further; entries of other series do not count."""
    forecast(redis, *range(100))
    history = read(settings, 10)
    assert list(range(89, 100)) == history.points[:, Y].tolist()
    np.testing.assert_array_equal(1.0, history.points[1:, NAIVE])
    assert (True, {"forecasts": at(89)}) == (history.whole, history.parts)


def test_older_readings_come_from_the_stream_the_archive_and_the_window(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """Only the time and the value are known of them."""
    folder = tmp_path / "history"
    folder.mkdir()
    settings = load_settings(
        redis_url=settings.redis_url.get_secret_value(), store=settings.store, retrain={"history": folder}
    )
    forecast(redis, *range(90, 100))
    push(redis, *range(80, 95))
    entries = [[b"%d-0" % at(turn), [b"series", NAME.encode(), b"value", b"%d" % turn]] for turn in range(70, 80)]
    entries.insert(5, [b"%d-1" % at(74), [b"series", b"other", b"value", b"0"]])
    Archive(folder, settings.namespace, layout_of(settings).every_part()[0]).add(iter([entries]))
    window = Window(100, 1)
    for turn in range(50, 100):
        window.push(at(turn), [float(turn)], 0)
    redis.hset("state", mapping=dict(SeriesState(("value",), window).changes(NAME)))
    history = read(settings, 60)
    assert list(range(50, 100)) == history.points[:, Y].tolist()
    assert [at(turn) for turn in range(50, 100)] == history.points[:, ORIGIN].tolist()
    assert 40 == np.isnan(history.points[:, YHAT]).sum()
    assert {"forecasts": at(90), "readings": at(80), "archive": at(70), "window": at(50)} == history.parts
    assert (False, "") == (history.whole, history.problem)


def test_a_search_ends_after_a_number_of_entries(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, redis: Redis
) -> None:
    """A partition may hold millions of other series' entries."""
    monkeypatch.setattr(module, "SCANNED", 8)
    forecast(redis, *range(90, 100))
    push(redis, *range(80, 100))
    history = read(settings, 60)
    assert [96.0, 97.0, 98.0, 99.0] == history.points[:, Y].tolist()
    assert not history.whole


def test_a_series_with_slow_readings_has_a_whole_history(settings: Settings, redis: Redis) -> None:
    """The stream is known to hold nothing of it from just before the span."""
    forecast(redis, 0, 60, 99)
    history = read(settings, 50)
    assert ([60.0, 99.0], True) == (history.points[:, Y].tolist(), history.whole)


def test_a_damaged_archive_is_reported_and_the_rest_is_shown(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "damaged.parquet").write_bytes(b"x")
    settings = load_settings(redis_url=settings.redis_url.get_secret_value(), retrain={"history": tmp_path})
    forecast(redis, 99)
    history = read(settings, 60)
    assert [99.0] == history.points[:, Y].tolist()
    assert "The archive was not read: " in history.problem


def test_a_series_without_any_entry_has_an_empty_history(settings: Settings, redis: Redis) -> None:
    """Its readings may have been trimmed."""
    redis.ping()
    history = read(settings, 60)
    assert (0, {}, False) == (len(history.points), history.parts, history.whole)
