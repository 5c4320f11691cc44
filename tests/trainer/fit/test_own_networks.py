"""Training of many series together: each as if it were alone, and as Keras would train it."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.fit.harness import weights_of
from tidecast.models import lstm
from tidecast.models.spec import Spec
from tidecast.settings import TrainSettings
from trainer.fit import backend, own_networks
from trainer.fit.keras_models import build, initial_weights, set_weights
from trainer.fit.own_networks import WARM_RATE, Fit, Problem, batch_order, capacity, fit_networks

pytestmark = pytest.mark.keras

SMALL = Spec(units=5, window=4)
ARCHITECTURES = {
    "simple": SMALL,
    "all that can differ": Spec(
        units=3,
        window=3,
        bidirectional=True,
        layers=2,
        features=("value", "wind", "rain"),
        activation="relu",
        target_transform="level",
        loss="mse",
    ),
}
LENGTHS = ((45, 20), (20, 9), (32, 33))  # examples and validation examples: last batches of 13, 4 and 16


def problem(spec: Spec, examples: int, held_out: int, seed: int = 0) -> Problem:
    """Return a series whose next change depends on its last two, and on noise."""
    rng = np.random.default_rng((seed, examples))
    x = rng.normal(size=(examples + held_out, spec.window, len(spec.features))).astype(np.float32)
    y = (0.5 * x[:, -1, 0] - 0.3 * x[:, -2, -1] + 0.2 * rng.normal(size=len(x))).astype(np.float32)
    return Problem(x[:examples], y[:examples], x[examples:], y[examples:])


class Alone:
    """Keras training one series after another, each from the start; traced once, which takes most of the time."""

    def __init__(self, spec: Spec, settings: TrainSettings) -> None:
        self.spec = spec
        self.settings = settings
        self.model = build(spec)
        optimizer = backend.keras.optimizers.Adam(settings.learning_rate)
        self.model.compile(optimizer, spec.loss)
        optimizer.build(self.model.trainable_variables)
        self.untouched = [v.numpy() for v in optimizer.variables]

    def fit(self, given: Problem) -> tuple[list[dict[str, np.ndarray]], list[float]]:
        """Train in the order of batches; return the weights after each epoch, and the losses."""
        set_weights(self.model, self.spec, initial_weights(self.spec, self.settings.seed))
        for variable, value in zip(self.model.optimizer.variables, self.untouched, strict=True):
            variable.assign(value)
        weights = []
        losses = []
        for epoch in range(1, self.settings.epochs + 1):
            rows = batch_order(len(given.y), epoch, self.settings.seed)
            history = self.model.fit(
                given.x[rows], given.y[rows], batch_size=self.settings.batch, shuffle=False, verbose=0
            )
            weights.append(weights_of(self.model, self.spec))
            losses.append(history.history["loss"][0])
        return weights, losses


def val_loss(fit: Fit, given: Problem, spec: Spec) -> float:
    """Return the validation loss of the weights kept, by the NumPy definition."""
    return float(np.abs(lstm.forward(given.x_val, fit.weights, spec.activation)[:, 0] - given.y_val).mean())


def assert_same(expected: Fit, actual: Fit) -> None:
    """Check that two fits went the same way."""
    assert expected.best_epoch == actual.best_epoch
    np.testing.assert_allclose(expected.val_loss, actual.val_loss, atol=1e-5)
    for name, weights in expected.weights.items():
        np.testing.assert_allclose(weights, actual.weights[name], atol=1e-5)


@pytest.mark.parametrize("spec", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_each_series_is_trained_as_keras_would_alone(spec: Spec) -> None:
    """After three epochs in company of other lengths, weights and losses are those of Keras' own fit."""
    settings = TrainSettings(epochs=3, batch=16)
    problems = [problem(spec, *lengths) for lengths in LENGTHS]
    alone = Alone(spec, settings)
    for each, fit in zip(problems, fit_networks(problems, spec, settings), strict=True):
        weights, losses = alone.fit(each)
        np.testing.assert_allclose(losses, fit.loss, atol=1e-5)
        assert fit.best_epoch == 1 + int(np.argmin(fit.val_loss))
        for name, expected in weights[fit.best_epoch - 1].items():
            np.testing.assert_allclose(expected, fit.weights[name], atol=1e-4)


def test_a_series_that_stops_early_is_not_moved_by_those_that_go_on() -> None:
    """Each series ends as if alone, at its own epoch, with the weights of its own best epoch."""
    settings = TrainSettings(epochs=12, patience=2, batch=16, learning_rate=0.03)
    problems = [problem(SMALL, n, 12, seed) for seed, n in enumerate((18, 40, 25, 60))]
    together = fit_networks(problems, SMALL, settings)
    assert len({len(fit.val_loss) for fit in together}) > 1
    for each, fit in zip(problems, together, strict=True):
        assert_same(fit_networks([each], SMALL, settings)[0], fit)
        assert val_loss(fit, each, SMALL) == pytest.approx(min(fit.val_loss), abs=1e-6)


def test_patience_counts_from_the_best_epoch() -> None:
    """A training ends as many epochs after its best one as patience allows, or with the last epoch."""
    settings = TrainSettings(epochs=30, patience=3, batch=8, learning_rate=0.1)
    fit = fit_networks([problem(SMALL, 20, 10)], SMALL, settings)[0]
    assert len(fit.val_loss) == min(settings.epochs, fit.best_epoch + settings.patience) < settings.epochs


def test_series_that_wait_for_room_are_trained_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one on each core, five series end as they do together, in the order in which they came."""
    settings = TrainSettings(epochs=3, patience=1, batch=16)
    problems = [problem(SMALL, n, 12, seed) for seed, n in enumerate((18, 40, 25, 60, 9))]
    together = fit_networks(problems, SMALL, settings)
    monkeypatch.setattr(own_networks, "WIDEST", 1)
    epochs: list[tuple[int, int]] = []
    in_turn = fit_networks(problems, SMALL, settings, on_epoch=lambda epoch, left: epochs.append((epoch, left)))
    for expected, fit in zip(together, in_turn, strict=True):
        assert_same(expected, fit)
    assert list(range(1, len(epochs) + 1)) == [epoch for epoch, _ in epochs]
    assert epochs[-1][1] == 0
    assert [left for _, left in epochs] == sorted((left for _, left in epochs), reverse=True)


def test_a_champion_that_cannot_be_beaten_is_kept() -> None:
    """A warm start counts its own weights as epoch 0 and gives up early."""
    settings = TrainSettings(epochs=20, batch=16, learning_rate=5.0, patience=2)
    cold = problem(SMALL, 60, 20)
    champion = fit_networks([cold], SMALL, TrainSettings(epochs=20, batch=16))[0]
    warm = Problem(cold.x, cold.y, cold.x_val, cold.y_val, initial=champion.weights)
    fit = fit_networks([warm], SMALL, settings)[0]
    assert (fit.best_epoch, len(fit.val_loss)) == (0, 2)
    for name, weights in champion.weights.items():
        np.testing.assert_array_equal(weights, fit.weights[name])


def test_a_warm_start_goes_on_from_the_champion() -> None:
    """Warm and cold series train together; the warm one starts lower and ends no worse than it began."""
    settings = TrainSettings(epochs=6, batch=16, learning_rate=0.01)
    examples = problem(SMALL, 60, 20)
    champion = fit_networks([examples], SMALL, settings)[0]
    warm, cold = fit_networks(
        [Problem(examples.x, examples.y, examples.x_val, examples.y_val, initial=champion.weights), examples],
        SMALL,
        settings,
    )
    assert_same(champion, cold)
    assert warm.loss[0] < cold.loss[0]
    assert val_loss(warm, examples, SMALL) <= val_loss(champion, examples, SMALL)


def test_a_warm_start_offers_the_mean_of_the_champion_and_its_epochs() -> None:
    """The second epoch's offer is a third of each: the champion, and what Adam reached after the first and second."""
    cold = problem(SMALL, 160, 80)  # enough that the second epoch gains
    settings = TrainSettings(epochs=2, batch=16)
    warm_settings = settings.model_copy(update={"learning_rate": settings.learning_rate / WARM_RATE})
    warm = Problem(cold.x, cold.y, cold.x_val, cold.y_val, initial=initial_weights(SMALL, settings.seed))
    weights, _ = Alone(SMALL, settings).fit(cold)
    fit = fit_networks([warm], SMALL, warm_settings)[0]
    assert fit.best_epoch == 2
    for name, kept in fit.weights.items():
        mean = (warm.initial[name] + weights[0][name] + weights[1][name]) / 3  # type: ignore[index] # it is there
        np.testing.assert_allclose(mean, kept, atol=1e-5)


def test_the_order_of_batches_is_a_permutation_that_each_epoch_draws_anew() -> None:
    """Every example once an epoch; the same length and epoch give the same order."""
    np.testing.assert_array_equal(np.arange(50), np.sort(batch_order(50, 1, 0)))
    np.testing.assert_array_equal(batch_order(50, 1, 0), batch_order(50, 1, 0))
    assert not np.array_equal(batch_order(50, 1, 0), batch_order(50, 2, 0))
    assert not np.array_equal(batch_order(50, 1, 0), batch_order(50, 1, 1))


def test_large_networks_train_fewer_at_a_time() -> None:
    """Memory bounds the number; even a network beyond the budget trains, alone."""
    small = capacity(Spec(units=50, window=24), 32)
    large = capacity(Spec(units=128, window=336, layers=4, features=tuple("abcdefgh"), target="a"), 32)
    assert small == own_networks.WIDEST
    assert 1 <= large < small
    assert capacity(Spec(units=1024, window=1024, layers=4), 512) == 1


def test_a_training_writes_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed, as the schedule does at its limits, could not remove them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spec = Spec(units=3, window=7)  # of no other test: it is traced here
    fit_networks([problem(spec, 20, 10)], spec, TrainSettings(epochs=1))
    assert not list(tmp_path.iterdir())
