"""The throughput's figures are complete, every reading was answered, and the yardsticks work as described."""

from pathlib import Path

import pytest

from benchmarks.harness.contestants import Contestant, echoing, serving
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from benchmarks.throughput import CONFIGURATIONS, FIGURES
from tests.benchmarks.measuring import figures_of
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.experts import EXPERTS
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState, decode_all
from tidecast.tools.sizing.trial_models import id_of
from tidecast.wire import Forecast

pytestmark = pytest.mark.usefixtures("forked_programs")
TINY = ("throughput", "--series", "5", "--many", "8", "--rounds", "1", "--seconds", "0.05")


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name != "own"])
def test_a_configuration_has_its_ratio(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A round fails where a reading is not answered, so that a ratio stands for all of them."""
    figures = figures_of(capsys, *TINY, "--only", name, "--without-keras")
    more = {"worker_us_without_network"} if name == "none" else set()
    size_error = {"size_error"} if CONFIGURATIONS[name].sized else set()
    assert {FIGURES[name]} | more | size_error == set(figures)
    assert min(figures.values()) > 0


@pytest.mark.keras
def test_the_way_of_the_tutorials_is_much_slower(capsys: pytest.CaptureFixture[str]) -> None:
    """It calls Keras for each reading alone."""
    figures = figures_of(capsys, *TINY, "--only", "own")
    assert {FIGURES["own"], "readings_per_s", "echo_per_s", "worker_us", "ratio_to_keras", "size_error"} == set(figures)
    assert figures["ratio_to_keras"] > 10


def test_an_unknown_configuration_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of those that there are."""
    with pytest.raises(SystemExit):
        figures_of(capsys, *TINY, "--only", "own,nothing")
    assert "'nothing' does not exist: use one of own, aof, 10k, default, none" in capsys.readouterr().err


def test_the_echo_publishes_what_the_worker_published(tmp_path: Path) -> None:
    """One entry for each reading under the reading's id, with all the fields of a forecast in service."""
    publish_models(ModelStore(tmp_path / "models"), 3)
    with EmbeddedRedis() as server, serving(server, tmp_path, Readings(3)) as worker:
        worker.warm_up(9)
        check_experts(worker, {"long_seasonal_naive", "linear_season", "shared_lstm", "online_seasons"})
        with echoing(worker, server) as echo:
            echo.warm_up(30)
        echoed = echo.redis.xrange(echo.keys.forecasts)
        real = worker.redis.xrange(worker.keys.forecasts)
    assert [id_of(i) for i in range(30)] == [entry_id for entry_id, _ in echoed]
    in_service = ["series", "ts", "yhat", "yhat_lower", "yhat_upper", "level", "origin", "model", "kind", "y"]
    assert {name.encode() for name in [*in_service, "error", "anomaly_score", "anomaly"]} == set(real[-1][1])
    assert {frozenset(fields.items()) for _, fields in real} == {frozenset(fields.items()) for _, fields in echoed}


def test_the_experts_of_the_default_panel_all_have_a_say(tmp_path: Path) -> None:
    """As those of the own one, in the run that the echo repeats."""
    publish_models(ModelStore(tmp_path / "models"), 2, default_panel=True)
    with EmbeddedRedis() as server, serving(server, tmp_path, Readings(2)) as worker:
        worker.warm_up(4)
        check_experts(worker, set())


def check_experts(worker: Contestant, lacking: set[str]) -> None:
    """The windows are full from the start: every expert of the configuration answers the first reading."""
    states = decode_all({name.decode(): raw for name, raw in worker.redis.hgetall("state").items()})
    forecasts = [Forecast.decode(*entry) for entry in worker.redis.xrange("forecasts")]
    of_models = set(EXPERTS) - {"pretrained", "linear_known", "own"}  # those of series without a model, and of users
    assert [of_models - lacking] * worker.readings.series == [answering(state) for state in states.values()]
    assert [1] * worker.pushed == [forecast.model for forecast in forecasts]
    assert max(abs(forecast.yhat - forecast.y) for forecast in forecasts) < 50


def answering(state: SeriesState) -> set[str]:
    """Return the experts whose answer stands for the next reading."""
    return {name for name, answer in zip(EXPERTS, state.answers.tolist(), strict=True) if answer == answer}
