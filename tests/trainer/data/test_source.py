"""Commands read recorded readings as they read files."""

from pathlib import Path

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.trainer.data.harness import TS, add, plain, reading
from tidecast.errors import HistoryError
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.data.source import Recorded, Source, read_source
from trainer.reports.target import Request, requested_history

RECORDED = Source(recorded=Recorded())


def test_the_same_readings_are_the_same_history_from_files_and_from_redis(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """With all fields, as a backtest reads them, and with those that are named."""
    add(redis, *(reading(i, i, wind=2 * i) for i in range(4)))
    file = tmp_path / "history.csv"
    file.write_text("\n".join(["series,ts,value,wind", *(f"a,{TS + 1000 * i},{i},{2 * i}" for i in range(4))]))
    for named in ({}, {"features": ("wind",)}, {"features": ("none",)}):
        sources = Source((str(file),), **named), Source(recorded=Recorded(), **named)
        read = [read_source(source, settings, all_by_default=True).accepted for source in sources]
        assert plain(read[0][0]) == plain(read[1][0])
        assert read[0][0].features == read[1][0].features


def test_a_report_reads_the_recorded_fields_of_its_model(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Only its series, by default with the model's target and features; without a reading there is one sentence."""
    store = ModelStore(tmp_path / "models")
    store.publish(make_model("a", Spec(window=2, units=2, target="wind", features=("wind", "value"))))
    with pytest.raises(HistoryError, match="nothing is recorded"):
        requested_history(Request("a", RECORDED), settings, store)
    add(redis, *(reading(i, i, series, wind=2 * i) for i in range(4) for series in "ab"))
    history = requested_history(Request("a", RECORDED), settings, store)
    assert ("wind", "value") == history.features
    assert [[2.0 * i, float(i)] for i in range(4)] == history.values.tolist()
