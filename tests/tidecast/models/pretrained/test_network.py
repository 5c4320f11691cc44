"""The pretrained network: its file is small and of this version, and it answers for any window of any series."""

import numpy as np
import pytest

from tidecast.arrays import Float, Int64
from tidecast.errors import ModelError
from tidecast.models.pretrained import inputs
from tidecast.models.pretrained import network as pretrained
from tidecast.models.pretrained.network import Pretrained, PretrainedHeader
from tidecast.models.pretrained.shape import CHANNELS, LEAST_ROWS, WINDOW
from tidecast.models.time_grid import CLIP

HELD = np.array([1, 3, 4, 5, 10, 31, 32, 33, 100, 300])


def wave(rows: int = 300, period: int = 24) -> Float:
    """Return a season with noise around 100."""
    noise = np.random.default_rng(0).normal(0, 0.3, rows)
    return 100 + 5 * np.sin(2 * np.pi * np.arange(rows) / period) + noise


def ends_of(values: Float) -> Int64:
    """Return windows that end at the newest row, one for each of HELD."""
    return np.full(len(HELD), len(values))


def seasons_of(*lengths: int) -> Int64:
    """Return the same two season lengths for each of HELD."""
    return np.tile(np.array(lengths), (len(HELD), 1))


def plain_inputs(rows: Float, seasons: tuple[int, int]) -> tuple[Float, float]:
    """Compute the inputs and the scale of one window from the definition, row by row; the oracle."""
    first = max(0, len(rows) - WINDOW)
    newest = len(rows) - 1
    changes = [abs(rows[t] - rows[t - 1]) for t in range(first + 1, newest + 1)]
    m = seasons[0]
    changes += [abs(rows[t + 1 - m] - rows[t - m]) for t in range(first, newest + 1) if m and t >= m]
    scale = float(np.mean(changes)) if changes else 0.0
    for _ in range(2):
        scale = float(np.mean(np.minimum(changes, 5 * scale))) if changes else 0.0
    scale = scale if scale > 1e-9 * abs(rows[-1]) else 1e-300
    x = np.zeros((WINDOW, CHANNELS))
    for t in range(first, newest + 1):
        row = x[t - newest - 1]
        row[0] = (rows[t] - rows[t - 1]) / scale if t > first else 0
        row[1] = (rows[t] - rows[first : t + 1].mean()) / scale
        row[10] = (rows[t] - rows[max(0, first - 96) : t + 1].mean()) / scale
        row[2] = 1
        for j, m in enumerate(seasons):
            if m and t + 1 >= m:
                row[3 + 3 * j] = (rows[t + 1 - m] - rows[t]) / scale
                row[4 + 3 * j] = (rows[t + 1 - m] - rows[t - m]) / scale if t >= m else 0
                row[5 + 3 * j] = 1
        row[9] = np.log2(seasons[0]) / 8 if seasons[0] else 0
        m = seasons[0]
        past = [t + 1 - j * m for j in range(1, 8) if m and t + 1 >= j * m]
        row[11] = np.mean([rows[then] - rows[t] for then in past]) / scale if past else 0
        changed = [rows[then] - rows[then - 1] for then in past if then]
        row[12] = np.mean(changed) / scale if changed else 0
    return np.clip(x, -CLIP, CLIP), scale


@pytest.mark.parametrize("seasons", [(0, 0), (24, 48), (24, 168), (2, 4), (400, 800)])
def test_the_inputs_follow_their_definition(seasons: tuple[int, int]) -> None:
    """The compiled form is compared with these arrays, so these are compared with plain loops."""
    values = wave()
    prepared = inputs.inputs(values, ends_of(values), HELD, seasons_of(*seasons))
    for i, held in enumerate(HELD):
        x, scale = plain_inputs(values[len(values) - held :], seasons)
        np.testing.assert_allclose(prepared.x[i], x, rtol=1e-5, atol=1e-5)
        assert prepared.size[i] == pytest.approx(scale)
    assert np.array_equal(prepared.base, np.full(len(HELD), values[-1]))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(300),
        np.full(300, -7.5),
        wave(),
        wave() * 1e304,
        wave() * 1e-290,
        np.where(np.arange(300) == 280, 1e12, wave()),
        np.where(np.arange(300) % 2 == 0, 1e150, -1e150),
    ],
    ids=["zeros", "constant", "wave", "huge", "tiny", "spike", "alternating"],
)
@pytest.mark.parametrize("seasons", [(0, 0), (24, 48), (1, 1), (1000, 2000)])
def test_every_window_from_the_fourth_row_on_has_a_finite_answer(values: Float, seasons: tuple[int, int]) -> None:
    """A worker may hold any series; with fewer rows it does not answer."""
    answers = pretrained.forecast(pretrained.shipped(), values, ends_of(values), HELD, seasons_of(*seasons))
    assert np.array_equal(np.isfinite(answers), HELD >= LEAST_ROWS)
    assert np.ptp(values) > 0 or (answers[HELD >= LEAST_ROWS] == values[0]).all()


@pytest.mark.parametrize(("held", "least"), [(40, 0.3), (100, 0.5), (300, 0.5)])
def test_it_forecasts_a_season_that_it_has_never_seen(held: int, least: float) -> None:
    """The shipped weights are trained, and their inputs are in the order that they were trained with."""
    values = wave(600)
    ends = np.arange(300, 599)
    answers = pretrained.forecast(
        pretrained.shipped(), values, ends, np.full(len(ends), held), np.tile([24, 168], (len(ends), 1))
    )
    error = np.abs(answers - values[ends]).mean()
    assert error < (1 - least) * np.abs(values[ends - 1] - values[ends]).mean()


def test_twice_the_season_stands_for_a_second_one_that_is_not_known() -> None:
    """The network was trained so. Without the second lag the median skill on monthly series falls from .50 to .41."""
    seasons = np.array([[12, 0], [0, 0], [24, 168], [24, 168], [7, 365], [7, 365]])
    held = np.array([100, 100, 100, 200, 365, 366])
    assert inputs.lags(seasons, held).tolist() == [[12, 24], [0, 0], [24, 168], [24, 168], [7, 14], [7, 365]]


def test_an_answer_moves_with_the_level_and_the_unit() -> None:
    """Degrees Celsius and Fahrenheit have the same forecast."""
    values = wave()
    given = (ends_of(values), HELD, seasons_of(24, 48))
    answers = pretrained.forecast(pretrained.shipped(), values, *given)
    converted = pretrained.forecast(pretrained.shipped(), values * 1.8 + 32, *given)
    np.testing.assert_allclose(converted, answers * 1.8 + 32, rtol=1e-5)


def test_the_shipped_file_is_small_and_tells_how_it_was_made() -> None:
    """The worker reads it at every start, and anybody can make it again."""
    network = pretrained.shipped()
    assert sum(part.size for part in network.weights.values()) <= 60_000
    assert len(pretrained.encode(network)) < 300_000
    assert {"seed", "windows", "units"} <= set(network.header.recipe)
    assert network.header.scores["skill_30_100"] > 0.1


def test_another_version_is_refused_and_so_is_a_damaged_file() -> None:
    """Weights that were trained on other inputs would answer nonsense."""
    network = pretrained.shipped()
    newer = Pretrained(network.header.model_copy(update={"version": 99}), network.weights)
    with pytest.raises(ModelError, match=f"version 99, this program reads {pretrained.VERSION}"):
        pretrained.decode(pretrained.encode(newer))
    content = pretrained.encode(network)
    for damaged in (b"", content[:-1], content.replace(pretrained.HEADER.encode(), b"x" * len(pretrained.HEADER))):
        with pytest.raises(ModelError, match="damaged"):
            pretrained.decode(damaged)


def test_a_network_survives_its_file() -> None:
    """Header and weights."""
    header = PretrainedHeader(version=pretrained.VERSION, recipe={"seed": 1, "rate": 0.5}, scores={"a": 0.25})
    weights = {"dense.bias": np.array([1.5], np.float32), "dense.kernel": np.ones((2, 1), np.float32)}
    loaded = pretrained.decode(pretrained.encode(Pretrained(header, weights)))
    assert loaded.header == header
    assert {name: part.tolist() for name, part in loaded.weights.items()} == {
        name: part.tolist() for name, part in weights.items()
    }
