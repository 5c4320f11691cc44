"""Series and models for measurements: random weights and invented errors, as only the cost of a forecast matters."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, LSTM, OWN, SHARED, LinearExperts
from tidecast.models.lstm import Array
from tidecast.models.model import Evidence, Header, Model, Scores
from tidecast.models.spec import Spec
from tidecast.tools.sizing.coefficients import SHARED_NETWORK, own_spec

if TYPE_CHECKING:
    from tidecast.online.forecaster import Forecaster

Kind = Literal["none", "experts", "own", "shared"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FIRST_MS = 1_600_000_000_000  # the time of the first reading
STEP_MS = 60_000
SEASON = 24  # rows
COHORT = "cohort"
LAGS = np.arange(40)  # of the linear experts: as many as the trainer gives a series with one season
# Push readings of four arguments each: id, series, time and value; the first argument is the field of the value.
PUSH = """
for i = 2, #ARGV, 4 do
  redis.call('XADD', KEYS[1], ARGV[i], 'series', ARGV[i + 1], 'ts', ARGV[i + 2], ARGV[1], ARGV[i + 3])
end
"""


def name_of(number: int) -> str:
    """Return the name of a series."""
    return f"series-{number}"


def id_of(number: int) -> bytes:
    """Return the entry id of the reading of this number, and of its forecast."""
    return b"%d-1" % (FIRST_MS + number)


def value_at(number: int) -> float:
    """Return the value of the reading of this number, with some noise."""
    return math.sin(0.37 * number) + (number * 7919 % 1000) / 1000


@dataclass(frozen=True, slots=True)
class TrialModels:
    """The models of some series.

    Attributes:
        kind: of all of them.
        units: of an own network.
    """

    kind: Kind
    units: int

    def give(self, forecaster: "Forecaster", series: int, target: str) -> None:
        """Give a forecaster the models of the first `series` series, whose readings have the field `target`."""
        if self.kind == "none":
            return
        field = {"target": target, "features": (target,)}
        shared = COHORT if self.kind == "shared" else None
        if shared:
            spec = SHARED_NETWORK.model_copy(update=field)
            forecaster.set_shared_network(shared, Model(_header(spec), random_weights(spec, 0)))
        spec = own_spec(self.units).model_copy(update=field)
        network = self.kind == "own"
        header = _header(spec, network=network, shared=shared)
        model = Model(header, random_weights(spec, 0) if network else {}, _panel(self.kind))
        for number in range(series):
            forecaster.set_model(name_of(number), 1, model)


def random_weights(spec: Spec, seed: int) -> dict[str, Array]:
    """Return random weights of a trained network's size."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


def full_state(series: str, target: str, values: Float) -> dict[str, bytes]:
    """Return the stored fields of a series whose window is full of the rows before the first reading.

    Args:
        series: its name.
        target: the field of its readings.
        values: the rows of the window.
    """
    from tidecast.online.series.state import SeriesState
    from tidecast.online.window import Window

    rows = len(values)
    window = Window(rows, 1)
    window.buffer[:rows, 0] = values
    window.end = window.length = window.appended = window.unsaved = rows
    window.last_ts = FIRST_MS - STEP_MS
    window.step_ms = STEP_MS
    return SeriesState((target,), window).changes(series)


def _panel(kind: Kind) -> LinearExperts:
    """Return linear experts that all answer, and records that give each expert of this kind a share."""
    errors = np.random.default_rng(0).uniform(1.0, 1.1, (len(HALF_LIVES), len(EXPERTS)))
    errors[:, OWN] = np.nan
    if kind != "own":
        errors[:, LSTM] = np.nan
    if kind != "shared":
        errors[:, SHARED] = np.nan
    experts = len(LINEAR)
    weights = np.random.default_rng(1).uniform(0, 1 / len(LAGS), (experts, len(LAGS)))
    needs = np.full(experts, len(LAGS))
    return LinearExperts(LAGS, np.zeros_like(LAGS), weights, np.zeros(experts), needs, errors)


def _header(spec: Spec, *, network: bool = True, shared: str | None = None) -> Header:
    return Header(
        series=COHORT,
        spec=spec,
        step_ms=STEP_MS,
        seasons=(SEASON,),
        network=network,
        shared=shared,
        center=(0.0,),
        scale=(1.0,),
        level=0.9,
        half_width=1.0,
        span=(0, FIRST_MS),
        evidence=Evidence(rows=100, season=SEASON, scores={"model": Scores(mae=1, rmse=1)}, skill=0.5, verdict="made"),
    )
