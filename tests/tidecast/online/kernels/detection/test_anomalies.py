"""Which readings are anomalies, where they begin and where they end."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.harness.oracles.anomalies import AnomalyOracle
from tidecast.arrays import Float, Int64
from tidecast.online.kernels.detection.anomalies import MOST_RARITY, RULE, detect_anomaly, rule_numbers
from tidecast.online.kernels.detection.watch_facts import BEGINS, ENDS
from tidecast.settings import AnomalyRule
from tidecast.wire.state_format import ANOMALY

AT = 600  # a reading after the first ones
SPREADS = 6.0  # of the noise: the size of a fault


def noise(seed: int = 0, readings: int = 800) -> Float:
    """Return normal noise with a spread of 1."""
    return np.random.default_rng(seed).normal(size=readings)


def with_spikes(*places: int, size: float = SPREADS) -> Float:
    """Return noise that becomes exactly `size` at some places."""
    y = noise()
    y[list(places)] = size
    return y


def detect(y: Float, yhat: Float | float = 0.0, **rule: Any) -> tuple[Int64, Float]:
    """Return the bits and the rarities of readings, `(readings,)` each."""
    # Python reads these ten times faster than records.
    state = SimpleNamespace(**{name: [0.0] * 4 if ANOMALY[name].shape else 0.0 for name in ANOMALY.names or ()})
    numbers = SimpleNamespace(**dict(zip(RULE.names or (), rule_numbers(AnomalyRule(**rule)).tolist(), strict=True)))
    bits = np.zeros(len(y), np.int64)
    rarities = np.zeros(len(y))
    for i, forecast in enumerate(np.broadcast_to(yhat, len(y)).tolist()):
        bits[i] = detect_anomaly(state, numbers, float(y[i]), forecast, False)
        rarities[i] = state.rarity
    return bits, rarities


def begins(y: Float, yhat: Float | float = 0.0, **rule: Any) -> list[int]:
    """Return the readings at which anomalies begin."""
    return np.flatnonzero(detect(y, yhat, **rule)[0] & BEGINS).tolist()


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"threshold": 300.0},
        {"direction": "above"},
        {"direction": "below", "min_deviation": 2.0},
        {"threshold": 200.0, "min_duration": 2, "cool_down": 5},
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rule_equals_its_plain_form(rule: dict[str, Any], seed: int) -> None:
    """Noise with switches, a spike, a step and a reading without a forecast; equal but for the order of operations."""
    y = noise(seed)
    y += 20 * (np.arange(len(y)) // 90 % 2)
    y[AT] += 8
    y[AT + 50 :] -= 4
    yhat = np.append(0.0, 0.3 * y[:-1])
    yhat[[0, 300]] = np.nan
    oracle = AnomalyOracle(AnomalyRule(**rule))
    expected = [oracle.detect(*pair) for pair in zip(y.tolist(), yhat.tolist(), strict=True)]
    bits, rarities = detect(y, yhat, **rule)
    np.testing.assert_allclose(rarities, [rarity for _, rarity in expected], rtol=1e-9)
    assert [bit for bit, _ in expected] == bits.tolist()


def test_a_spike_is_an_anomaly_and_the_reading_after_it_is_not() -> None:
    """One alarm for each spike, even if the next forecast follows the spike and is wrong by as much."""
    y = with_spikes(AT)
    yhat = np.append(0.0, np.where(np.arange(799) == AT, y[:-1], 0.0))
    assert [AT] == begins(y, yhat)


def test_a_true_anomaly_shortly_after_another_counts() -> None:
    """A new error after ten ordinary ones begins an anomaly within the cool-down; one of the same fault does not."""
    assert [AT, AT + 15] == begins(with_spikes(AT, AT + 3, AT + 15))


def test_an_anomaly_ends_once_and_before_the_next_begins() -> None:
    """An event reports each begin and each end, so they alternate."""
    phases = [bit for bit in detect(with_spikes(AT, AT + 2, AT + 150))[0].tolist() if bit]
    assert [BEGINS, ENDS, BEGINS, ENDS] == phases


def test_a_step_is_one_anomaly() -> None:
    """The readings at a new level are not anomalies of their own."""
    y = noise()
    y[AT:] += SPREADS
    assert 1 == len(begins(y))
    assert AT <= begins(y)[0] < AT + 3


def test_a_small_step_is_found_by_the_level() -> None:
    """A step of three spreads is hardly rare as an error, and is as the mean of a few."""
    y = noise()
    y[AT:] += 3
    assert AT <= begins(y)[0] < AT + 15


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"direction": "above"}, [AT]),
        ({"direction": "below"}, [AT + 100]),
        ({"min_deviation": 7.0}, []),
        ({"min_duration": 2}, []),
        ({"cool_down": 0}, [AT, AT + 100]),
        ({"threshold": 1e9}, []),
    ],
)
def test_the_settings_limit_which_readings_are_anomalies(rule: dict[str, Any], expected: list[int]) -> None:
    """A spike up and one down, 100 readings later."""
    y = with_spikes(AT)
    y[AT + 100] = -SPREADS
    assert expected == [at for at in begins(y, **rule) if at in (AT, AT + 100)]


def test_a_series_that_often_alarms_raises_its_own_threshold() -> None:
    """Spikes at regular times become usual, so an anomaly must be rarer after each alarm."""
    y = noise(readings=3000)
    y[AT::120] = SPREADS
    alarms = [at for at in begins(y) if y[at] == SPREADS]
    assert AT == alarms[0]
    assert len(alarms) < 12
    assert alarms[-1] < 2000


def switched(first: int, *later: int, size: float = 20.0, readings: int = 3000) -> tuple[Float, Float]:
    """Return noise that moves up and down by turns at some places, and its forecasts by the level before."""
    level = np.zeros(readings)
    for place in (first, *later):
        level[place:] = size - level[place]
    return level + noise(readings=readings), np.append(0.0, level[:-1])


@pytest.mark.parametrize("cool_down", [100, 0])
def test_a_machine_that_is_switched_on_and_off_is_soon_no_anomaly(cool_down: int) -> None:
    """The first three moves alarm, as it is not known yet that they recur; none of the later ones does."""
    moves = list(range(AT, 2900, 110))
    alarms = [at for at in begins(*switched(*moves), cool_down=cool_down) if (at - AT) % 110 < 20]
    assert moves[:3] == [at for at in alarms if at in moves]
    assert max(alarms) < moves[3]


def test_another_move_of_a_machine_that_is_switched_on_and_off_is_an_anomaly() -> None:
    """A pump at full speed has another level than one at half speed."""
    moves = list(range(AT, 2900, 110))
    y, yhat = switched(*moves)
    y[2850] += 10
    assert 2850 in begins(y, yhat)


def test_spikes_that_recur_are_anomalies() -> None:
    """A loose contact is a fault each time: the reading after a spike is back."""
    places = list(range(AT, 8000, 900))
    y = noise(readings=8000)
    y[places] = 20.0
    assert places == [at for at in begins(y) if at in places]


def test_the_first_change_of_a_constant_series_is_as_rare_as_its_readings_are_many() -> None:
    """A set point that is changed after 500 readings does not alarm, after 6,000 it does."""
    for readings, alarms in ((500, 0), (6000, 1)):
        assert alarms == len(begins(np.append(np.full(readings, 20.0), 21.0)))


def test_a_gross_error_does_not_move_the_levels() -> None:
    """After -9999 the series is judged as before."""
    assert [AT, 820] == begins(np.append(with_spikes(AT, size=-9999.0), [0.0] * 20 + [SPREADS]))


@hypothesis.given(st.integers(-40, 40))
@hypothesis.settings(max_examples=5, deadline=None)
def test_a_series_in_another_unit_has_the_same_anomalies(power: int) -> None:
    """The rule has no unit."""
    y = with_spikes(AT, AT + 100)
    assert begins(y) == begins(y * 2.0**power)


@hypothesis.given(arrays(np.float64, 120, elements=st.floats(allow_nan=True, allow_infinity=True)), st.booleans())
@hypothesis.settings(max_examples=50, deadline=None)
def test_any_readings_have_a_rarity_and_alternating_phases(y: Float, has_forecast: bool) -> None:
    """No reading makes the state useless, whatever its size."""
    bits, rarities = detect(y, 0.0 if has_forecast else np.nan)
    assert ((rarities >= 0) & (rarities <= MOST_RARITY)).all()
    is_open = False
    for bit in itertools.chain(bits.tolist(), ()):
        assert is_open or not bit & ENDS
        is_open = bool(bit & BEGINS) or (is_open and not bit & ENDS)


def test_a_threshold_is_a_number_of_readings() -> None:
    """The rarity of the default is one in 5,000."""
    assert math.log10(5000) == pytest.approx(rule_numbers(AnomalyRule())[0])
