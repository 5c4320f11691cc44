"""Which readings are trusted, and how far a series usually moves."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.oracles.doubt import Doubt
from tidecast.arrays import Float
from tidecast.models.gross_errors import FAR, GROWTH, MOST_DOUBTED, WARM_UP, Moves, limits, spans_away, usual_move

WAVE = 50 + 10 * np.sin(2 * np.pi * np.arange(300) / 24) + np.random.default_rng(0).normal(size=300)
CODES = [-9999.0, 9999.0, 0.0, -1.0, 65535.0, 1e6, 32767.0, -273.15, 99.99, 3.4e38, -3.4e38]


def doubted(values: Float, doubt: Doubt | None = None) -> list[int]:
    """Return the readings that are not trusted."""
    doubt = doubt or Doubt()
    rows = values[:1]
    places = []
    for i, y in enumerate(values[1:].tolist(), 1):
        doubt, rows = doubt.take(rows[-400:], y)
        places += [i] if doubt.run else []
    return places


def with_code(code: float, *spots: int, values: Float = WAVE) -> Float:
    """Return the values with a code in some places."""
    spoiled = values.copy()
    spoiled[list(spots)] = code
    return spoiled


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "spots",
    [[100], [100, 124, 148, 172], [200, 201, 202, 203], [*range(60, 300, 11)]],
    ids=["one", "daily", "run", "many"],
)
def test_no_gross_error_is_believed(code: float, spots: list[int]) -> None:
    """Such errors replace a missing value: once, every day at the same hour, for hours, or again and again."""
    assert spots == doubted(with_code(code, *spots))


NORMAL = {
    "a wave": WAVE,
    "intermittent demand": np.where(np.random.default_rng(1).random(600) < 0.1, 12.0, 0.0),
    "a pump without noise": np.where(np.arange(600) // 17 % 3 == 0, 100.0, 0.0),
    "a pump with noise": np.where(np.arange(600) // 17 % 3 == 0, 100.0, 0.0)
    + np.random.default_rng(2).normal(0, 0.5, 600),
    "a walk": np.random.default_rng(3).normal(size=600).cumsum(),
    "heavy tails": np.random.default_rng(4).standard_t(3, 600),
    "growth": np.exp(np.arange(600) / 60),
    "a constant": np.full(600, 5.0),
    "steps of a constant": np.repeat([5.0, 9.0, 500.0], 200),
    "an alternation": np.tile([0.0, 100.0], 300),
}


@pytest.mark.parametrize("values", NORMAL.values(), ids=NORMAL)
def test_what_recurs_in_a_series_is_believed(values: Float) -> None:
    """Sparse, large or sudden values are a part of many series."""
    assert [] == doubted(values)


def test_a_new_level_is_believed_at_its_second_reading() -> None:
    """The second one is near the first, but not the same: the series has moved. The old level is trusted at once."""
    values = WAVE.copy()
    values[150:200] += 500
    assert [150] == doubted(values)


def test_a_counter_that_often_begins_again_at_zero_is_doubted_once() -> None:
    """The reset stands among the rows once the next reading has confirmed it; with it, zeros are more than strays."""
    assert [74] == doubted(np.arange(400.0) % 37)


def test_a_reading_that_repeats_is_believed_after_a_day() -> None:
    """It is trusted at once where the series had been standing still itself."""
    assert [*range(150, 150 + int(MOST_DOUBTED))] == doubted(with_code(0.0, *range(150, 250)))
    still = np.concatenate([WAVE[:150], np.full(100, 50.0), np.full(50, 500.0)])
    assert [250] == doubted(still)


def test_a_change_of_unit_is_followed() -> None:
    """Where moves are a thousand times as far, a few readings show the new range."""
    values = WAVE.copy()
    values[150:] *= 1000
    assert len(doubted(values)) <= 4


def test_what_a_models_history_has_seen_is_believed() -> None:
    """Values within it and moves of its size, however long ago."""
    rare = WAVE.copy()
    rare[150:170] = 300 + np.random.default_rng(5).normal(size=20)
    assert [150] == doubted(rare)
    assert [] == doubted(rare, Doubt(of_model=(30.0, 310.0)))
    assert [] == doubted(rare, Doubt(Moves(of_model=100.0)))


def test_a_young_series_doubts_nothing() -> None:
    """Fifty rows show how far it moves and which values are usual; beside a model's history eight do.

    A journey time that leaps between 70 and 2,700 after each gap of its sensor lost a sixth to eight rows.
    """
    assert [] == doubted(with_code(-9999.0, 20, 40))
    assert [] == doubted(with_code(-9999.0, 20, 40), Doubt(Moves(of_model=6.0)))
    history = Doubt(Moves(of_model=6.0), of_model=(-6.0, 6.0))
    assert [20, 40] == doubted(with_code(-9999.0, 5, 20, 40), history)


def test_a_gross_error_among_the_first_readings_does_not_blind() -> None:
    """The usual move is that of most of them, so a few stray values do not set it."""
    assert [200] == doubted(with_code(-9999.0, 10, 40, 200))


def test_the_largest_move_fades_and_is_exceeded_little_by_little() -> None:
    """By half in 2,000 readings, by one in a hundred with each beyond it."""
    moves, rows = Moves(largest=4.0, seen=60), np.zeros(400)
    assert GROWTH * 4.0 == moves.learn(1e9, rows).largest
    assert 5.0 == Moves(4.0, 60, of_model=5.0).usual
    for _ in range(2000):
        moves = moves.learn(0.0, rows)
    assert pytest.approx(2.0) == moves.largest


def test_the_usual_move_is_the_median_of_the_largest_of_parts() -> None:
    """So a few errors do not set the usual move; too short a history sets none."""
    assert 0.0 == usual_move(np.arange(10.0))
    assert 3.0 == usual_move(np.array([0, 1, 2, 0, 3, 6, 9, 900]), part=3)
    clean = usual_move(WAVE)
    spoiled = usual_move(with_code(-9999.0, 30, 100, 101, 180, 250))
    assert clean == pytest.approx(spoiled, rel=0.2)
    assert int(WARM_UP) % 10 == 0


def test_a_value_lies_so_many_spans_outside() -> None:
    """A few strays do not widen the limits; on the other side of zero a value is far outside."""
    values = np.array([20.0, 10.0, 11.0, 30.0, 12.0, -500.0, 13.0, 14.0, 9.0, 800.0, 900.0])
    assert (10.0, 30.0) == limits(values)
    assert [0.0, 0.5, 1.5, 2.0] == [spans_away((10.0, 30.0), y) for y in (30.0, 40.0, 60.0, 0.0)]
    assert np.inf == spans_away((5.0, 5.0), 6.0)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.integers(-50, 50) | st.just(10**6), min_size=2, max_size=120), st.integers(-40, 40))
def test_the_unit_does_not_matter(values: list[int], power: int) -> None:
    """The same readings are trusted in any unit."""
    usual = Doubt(Moves(of_model=9.0)), Doubt(Moves(of_model=float(np.ldexp(9.0, power))))
    y = np.array(values, float)
    assert doubted(y, usual[0]) == doubted(np.ldexp(y, power), usual[1])


def test_a_near_reading_is_always_believed() -> None:
    """A move of the usual size is always plausible."""
    rows = np.full(60, 50.0)
    usual = Doubt(Moves(of_model=2.0))
    assert 0 == usual.take(rows, 50 + FAR * 2.0)[0].run
    assert 1 == usual.take(rows, 50 + FAR * 2.1)[0].run


def test_a_reading_that_the_next_one_confirms_gets_its_row() -> None:
    """Also if the next one lies within the known values; a far one before it that nothing confirmed does not."""
    rows = np.arange(60.0)
    doubt = Doubt(Moves(of_model=2.0))
    for y in (-9999.0, -1.0):
        doubt, rows = doubt.take(rows, y)
    assert [58.0, 59.0, 59.0, 59.0] == rows[-4:].tolist()
    doubt, rows = doubt.take(rows, 1.0)
    assert ([59.0, 59.0, -1.0, 1.0], 0) == (rows[-4:].tolist(), doubt.run)


def test_a_line_stands_in_the_place_of_gross_errors() -> None:
    """The last trusted value stands until the series comes back, and then a line to that reading."""
    rows = np.arange(60.0)
    doubt = Doubt(Moves(of_model=2.0))
    for y in (-9999.0, -9999.0):
        doubt, rows = doubt.take(rows, y)
    assert [58.0, 59.0, 59.0, 59.0] == rows[-4:].tolist()
    doubt, rows = doubt.take(rows, 62.0)
    assert ([59.0, 60.0, 61.0, 62.0], 0) == (rows[-4:].tolist(), doubt.run)
