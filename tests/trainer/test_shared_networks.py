"""The network of a cohort: its members, its training, and how it is kept."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.harness.oracles.answers import shared_answers
from tidecast.files.history import History
from tidecast.models import lstm
from tidecast.models.inputs import rows_read
from tidecast.models.model import Model, network_seasons
from tidecast.models.pretrained.inputs import inputs, lags
from tidecast.models.pretrained.network import shipped
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import windows_before
from tidecast.settings import Settings, TrainSettings
from trainer import shared_networks
from trainer.fit import shared_network
from trainer.fit.shared_network import Examples, examples_of, fit_shared, spec_of, tail_error
from trainer.fit.training_set import TrainingSet, prepare
from trainer.shared_networks import train_shared

pytestmark = [pytest.mark.keras, pytest.mark.settings(train={"epochs": 1, "shared_epochs": 2})]

HOUR = 3_600_000
NAME = "value every 3600 s"
SPEC = spec_of("value")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort small enough for a test."""
    monkeypatch.setattr(shared_networks, "MIN_EXAMPLES", 200)


def training_set(
    series: str, rows: int = 300, *, step: int = HOUR, scale: float = 1.0, seed: int = 0, newest: float = 0.0
) -> TrainingSet:
    """Return a wave of a day with noise, in a unit of its own."""
    noise = np.random.default_rng(seed).normal(0, 0.1, rows)
    values = scale * (np.sin(2 * np.pi * np.arange(rows) / 24) + noise)
    values[-1] += newest
    made = prepare(History(series, ("value",), np.arange(rows) * step, values[:, None]), Spec(), TrainSettings(), 3)
    assert isinstance(made, TrainingSet)
    return made


@pytest.mark.usefixtures("small")
def test_series_of_one_step_share_a_network_and_others_do_not(settings: Settings, store: ModelStore) -> None:
    """All that count is that they have enough readings together: one may have them alone."""
    hourly = [training_set(f"h{i}", seed=i) for i in range(3)]
    daily = [training_set("d0", 150, step=24 * HOUR)]
    networks = train_shared([*hourly, *daily], settings, store, 0)
    assert set(networks) == {"h0", "h1", "h2"}
    assert store.shared.series() == [NAME]
    header = store.shared.load(NAME)[1].header
    assert (header.training["series"], len(header.curves["loss"])) == (3, 2)
    assert header.evidence.verdict.startswith("published")


@pytest.mark.usefixtures("small")
def test_a_network_is_not_trained_twice_on_the_same_readings(settings: Settings, store: ModelStore) -> None:
    """With newer ones it is, and the better one stays."""
    members = [training_set(f"h{i}", seed=i) for i in range(3)]
    for _ in range(2):
        train_shared(members, settings, store, 0)
    assert store.shared.versions(NAME) == [1]
    train_shared([*members[:2], training_set("h2", seed=2, newest=0.5)], settings, store, 0)
    assert store.shared.versions(NAME) == [1, 2]


@pytest.mark.usefixtures("small")
def test_a_young_series_gets_the_network_of_its_cohort(settings: Settings, store: ModelStore) -> None:
    """Alone it cannot train one, nor replace that of the others when it is older: it does not represent them."""
    train_shared([training_set(f"h{i}", seed=i) for i in range(3)], settings, store, 0)
    for rows in (60, 300):
        assert {"young"} == set(train_shared([training_set("young", rows, seed=3)], settings, store, 0))
    assert store.shared.versions(NAME) == [1]


def test_neither_the_tail_nor_the_unit_of_a_series_has_an_effect() -> None:
    """Readings of the tail are not learned from; a series in thousandths teaches the same."""
    small_unit, large_unit = (training_set("s", scale=scale) for scale in (1.0, 1000.0))
    small_examples = examples_of(small_unit, SPEC, 0, small_unit.rows_before_tail)
    large_examples = examples_of(large_unit, SPEC, 0, large_unit.rows_before_tail)
    np.testing.assert_allclose(small_examples.x, large_examples.x, atol=1e-4)
    np.testing.assert_allclose(small_examples.y, large_examples.y, atol=1e-4)
    np.testing.assert_allclose(small_examples.weight, large_examples.weight, rtol=1e-4)
    changed = replace(small_unit.grid, values=small_unit.grid.values.copy())
    changed.values[small_unit.rows_before_tail :] = 99
    moved = examples_of(replace(small_unit, grid=changed), SPEC, 0, small_unit.rows_before_tail)
    np.testing.assert_array_equal(small_examples.x, moved.x)
    np.testing.assert_array_equal(small_examples.y, moved.y)


def test_the_examples_of_a_long_season_take_little_memory() -> None:
    """Their windows hold 320 rows each: copied, those of ten years of five minutes took more than a gigabyte."""
    given = training_set("s", 3000, step=HOUR // 12)
    assert rows_read(SPEC, network_seasons(given.seasons, 2)) == 320
    examples_of(given, SPEC, 0, 10)  # compiles
    tracemalloc.start()
    examples = examples_of(given, SPEC, 0, given.rows_before_tail)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * examples.x.nbytes


def test_a_network_answers_a_long_tail_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers are the same, in the memory of one part: 45,000 windows at once took more than two gigabytes."""
    given = training_set("s")
    network = Model(make_model("cohort", SPEC).header, dict(shipped().weights))
    whole = tail_error(network, [given])
    sizes: list[int] = []
    forward = lstm.forward
    monkeypatch.setattr(shared_network, "AT_ONCE", 20)
    monkeypatch.setattr(lstm, "forward", lambda x, *rest: (sizes.append(len(x)), forward(x, *rest))[1])
    assert whole == tail_error(network, [given])
    assert max(sizes) <= 20 < sum(sizes)


def test_the_examples_are_the_inputs_in_service() -> None:
    """The answers of the network for a training window are those of the worker."""

    given = training_set("s")
    network = Model(make_model("cohort", SPEC).header, dict(shipped().weights))
    examples = examples_of(given, SPEC, 100, 110)
    raw = lstm.forward(examples.x, network.weights, "tanh")[:, 0]
    seasons = network_seasons(given.seasons, 2)
    rows, held = windows_before(given.grid, np.arange(100, 110), rows_read(SPEC, seasons))
    scale = np.full(10, given.change_scale)
    served = shared_answers(network, rows, held, given.seasons, scale)
    ends = np.arange(1, 11) * rows.shape[1]
    size = inputs(rows[:, :, 0].ravel(), ends, held, lags(seasons[None].repeat(10, 0), held)).size
    assert served.tolist() == pytest.approx((rows[:, -1, 0] + raw * size).tolist(), rel=1e-5)


def test_a_network_learns_the_pattern_that_all_series_share() -> None:
    """The loss falls, from that of the pretrained network."""
    members = [training_set(f"h{i}", seed=i) for i in range(3)]
    examples = Examples.joined([examples_of(m, SPEC, 0, m.rows_before_tail) for m in members])
    weights, losses = fit_shared(examples, SPEC, TrainSettings(shared_epochs=8))
    assert losses[-1] < 0.95 * losses[0]
    before, after = (
        np.abs(lstm.forward(examples.x, each, "tanh")[:, 0] - examples.y).mean()
        for each in (shipped().weights, weights)
    )
    assert after < 0.95 * before


@pytest.mark.usefixtures("small")
def test_some_of_too_many_windows_are_left_out(settings: Settings, store: ModelStore) -> None:
    """One in so many of every series, so that all of them and all of their time are there."""
    given = training_set("s")
    all_of_them = examples_of(given, SPEC, 0, given.rows_before_tail)
    some = examples_of(given, SPEC, 0, given.rows_before_tail, every=3)
    np.testing.assert_array_equal(all_of_them.x[::3], some.x)
    np.testing.assert_array_equal(all_of_them.y[::3], some.y)
    train_shared([training_set(f"h{i}", seed=i) for i in range(3)], settings, store, 0, most=300)
    assert store.shared.load(NAME)[1].header.training["examples"] <= 300  # type: ignore[operator] # an int


def test_many_short_series_get_a_network_together(settings: Settings, store: ModelStore) -> None:
    """Each has the few rows that a forecast of the network needs."""
    members = [training_set(f"h{i}", 55, seed=i) for i in range(60)]
    assert sum(member.rows_before_tail for member in members) >= shared_networks.MIN_EXAMPLES
    assert len(train_shared(members, settings, store, 0)) == 60


@pytest.mark.usefixtures("small")
def test_without_any_example_there_is_no_network(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the training of all series."""
    none = Examples(np.zeros((0, 32, 13), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32))
    monkeypatch.setattr(shared_networks, "examples_of", lambda *_: none)
    assert train_shared([training_set("h0")], settings, store, 0) == {}


@pytest.mark.usefixtures("small")
def test_a_training_that_diverged_leaves_no_network(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a version nor an expert; a champion that is there goes on."""
    rate = shared_network.RATE
    members = [training_set(f"h{i}", seed=i) for i in range(3)]
    monkeypatch.setattr(shared_network, "RATE", np.nan)
    assert train_shared(members, settings, store, 0) == {}
    assert store.shared.series() == []
    monkeypatch.setattr(shared_network, "RATE", rate)
    train_shared(members, settings, store, 0)
    monkeypatch.setattr(shared_network, "RATE", np.nan)
    networks = train_shared([*members[:2], training_set("h2", seed=2, newest=0.5)], settings, store, 0)
    assert set(networks) == {"h0", "h1", "h2"}
    assert store.shared.versions(NAME) == [1]


def test_the_network_has_the_shape_and_the_inputs_of_the_pretrained_one() -> None:
    """They are in each window's unit: otherwise series of different size could not share it."""
    spec = spec_of("load")
    assert (spec.pretrained, spec.features) == (True, ("load",))
    assert {name: part.shape for name, part in shipped().weights.items()} == spec.shapes()
