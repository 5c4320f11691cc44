"""The effect of retraining on corrupted readings: the worker's later forecasts, beside the last value.

A champion learned from clean readings. The newest readings of the history are then corrupted, and the series is
retrained on all of them. Then the worker answers the readings after them: clean ones again, or more corrupted ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise, product

import numpy as np

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from trainer.evaluation.virtual_clock import entries_of
from trainer.pipeline import train

WINDOW = 200  # readings over which the forecasts must not be worse than the last value
ALLOWED = 1.05  # times the last value's mean error
AFTER = 260  # readings after the retraining
LEARNED = 0.65  # of the readings before the retraining: the champion has learned from them
AFTERS = ("ends", "goes on")
LEAST = 0.25  # of the usual change: where the last value errs less, errors are compared with that

# gets the readings and all clean ones before, and returns the readings to send
Corrupt = Callable[[Float, Float, np.random.Generator], Float]


def spikes(y: Float, before: Float, rng: np.random.Generator) -> Float:
    """One reading in twenty is off by a thousand standard deviations."""
    hit = rng.random(len(y)) < 0.05
    hit[rng.integers(len(y))] = True
    return np.where(hit, y + rng.choice([-1, 1], len(y)) * 1000 * before.std(), y)


def spike(y: Float, before: Float, rng: np.random.Generator) -> Float:
    """A single reading is."""
    hit = np.arange(len(y)) == rng.integers(len(y))
    return np.where(hit, y + 1000 * before.std(), y)


def stuck(y: Float, before: Float, _rng: np.random.Generator) -> Float:
    """A sensor that repeats one value for ever."""
    return np.full_like(y, before[-1])


def unit(y: Float, _before: Float, _rng: np.random.Generator) -> Float:
    """Somebody sends thousandths."""
    return y * 1000


def flip(y: Float, _before: Float, _rng: np.random.Generator) -> Float:
    """The sign is lost."""
    return -y


def noise(y: Float, before: Float, rng: np.random.Generator) -> Float:
    """Replace the readings by noise."""
    return rng.normal(before.mean(), before.std(), len(y))


def loud(y: Float, before: Float, rng: np.random.Generator) -> Float:
    """The same, a hundred times as loud."""
    return rng.normal(before.mean(), 100 * before.std(), len(y))


CORRUPTIONS: Mapping[str, Corrupt] = {
    corrupt.__name__: corrupt for corrupt in (spikes, spike, stuck, unit, flip, noise, loud)
}


@dataclass(frozen=True, slots=True)
class Case:
    """A series in one of the scenarios."""

    history: History  # as it was sent
    retrained: int  # the reading at which it is retrained
    learned: int  # the reading up to which its first champion has learned
    usual: float  # the mean change of the clean readings


@dataclass(frozen=True, slots=True)
class Result:
    """How the forecasts after a retraining compare with the last value's over the worst `WINDOW` readings."""

    name: str  # of series, corruption, share, later readings and seed
    status: str  # of the retraining
    ratio: float  # of the mean errors
    without: float  # the same had the champion stayed


@dataclass(frozen=True, slots=True)
class Plan:
    """The scenarios to measure.

    Attributes:
        corruptions: by name.
        shares: of the newest readings that are corrupted.
        afters: whether the corruption ends with the retraining or goes on.
        seeds: of the corruption.
        most: so many of all scenarios at most, drawn at random; None: all.
    """

    corruptions: Mapping[str, Corrupt] = field(default_factory=lambda: CORRUPTIONS)
    shares: Sequence[float] = (0.05, 0.3)
    afters: Sequence[str] = AFTERS
    seeds: Sequence[int] = (0,)
    most: int | None = None


def measure(
    histories: Sequence[History], settings: Settings, store: ModelStore, plan: Plan, spec: Spec
) -> list[Result]:
    """Retrain every series in every scenario, and forecast the readings after it.

    Args:
        histories: clean ones, of one target and some 600 readings at least.
        settings: of training.
        store: an empty one.
        plan: the scenarios.
        spec: of the networks.
    """
    train([_part(h, 0, int((len(h) - AFTER) * LEARNED)) for h in histories], spec, settings, store)
    cases = _drawn([case for h in histories if store.champion(h.series) for case in _cases(h, plan)], plan)
    for name in cases:
        model = store.load(name.split("|")[0])[1]
        store.publish(Model(model.header.model_copy(update={"series": name}), model.weights, model.panel))
    without = _answers(cases, cases, settings, store)
    verdicts = train([_part(c.history, 0, c.retrained) for c in cases.values()], spec, settings, store)
    answered = _answers(cases, [v.series for v in verdicts if v.status == "trained"], settings, store)
    return [
        Result(
            v.series, v.status, _worst(cases[v.series], answered[v.series]), _worst(cases[v.series], without[v.series])
        )
        for v in verdicts
    ]


def _drawn(cases: Sequence[Case], plan: Plan) -> dict[str, Case]:
    """Return the cases of the plan by name."""
    if plan.most is not None and plan.most < len(cases):
        drawn = np.random.default_rng(plan.seeds[0]).choice(len(cases), plan.most, replace=False)
        cases = [cases[i] for i in sorted(drawn.tolist())]
    return {case.history.series: case for case in cases}


def _cases(h: History, plan: Plan) -> Iterator[Case]:
    retrained = len(h) - AFTER
    y = h.values[:, 0]
    for name, share, after, seed in product(plan.corruptions, plan.shares, plan.afters, plan.seeds):
        start = retrained - int(share * retrained)
        sent = plan.corruptions[name](y[start:], y[:start], np.random.default_rng(seed))
        stop = retrained if after == "ends" else len(h)
        values = h.values.copy()
        values[start:stop, 0] = sent[: stop - start]
        case = replace(h, series=f"{h.series}|{name} {share:g} {after} {seed}", values=values)
        yield Case(case, retrained, int(retrained * LEARNED), float(np.abs(np.diff(y[:start])).mean()))


def _answers(
    cases: Mapping[str, Case], moved: Sequence[str] | Mapping[str, Case], settings: Settings, store: ModelStore
) -> dict[str, list[tuple[float, float]]]:
    """The forecasts that stood at the readings after the retraining and the readings; the models of `moved` are new
    then.
    """
    forecaster = Forecaster(settings.series)
    for cohort in store.shared.served():
        forecaster.set_shared_network(cohort, store.shared.load(cohort)[1])
    made: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for name in cases:
        forecaster.set_model(name, *store.load(name, 1))
    for name, case in cases.items():
        start = case.learned - forecaster.rows_read(name)
        _handle(forecaster, _part(case.history, max(0, start), case.retrained), made[name])
    for name in moved:
        forecaster.set_model(name, *store.load(name))
    for name, case in cases.items():
        before = made[name][-1]
        made[name] = [before]
        _handle(forecaster, _part(case.history, case.retrained, len(case.history)), made[name])
    return {name: [(yhat, y) for (yhat, _), (_, y) in pairwise(rows)] for name, rows in made.items()}


def _handle(forecaster: Forecaster, part: History, into: list[tuple[float, float]]) -> None:
    entries = iter(entries_of([part]))
    while batch := list(islice(entries, 1000)):
        made = forecaster.handle(batch, int(part.ts[-1])).forecasts
        into += zip(made.yhat, made.y, strict=True)


def _worst(case: Case, answered: Sequence[tuple[float, float]]) -> float:
    yhat, y = np.array(answered[1:]).T  # the forecast of the first was the former model's
    before = case.history.values[case.retrained : -1, 0]
    mine = _means(np.abs(yhat - y))
    naive = _means(np.abs(before - y))
    return float(np.max(mine / np.maximum(naive, LEAST * case.usual)))


def _means(errors: Float) -> Float:
    """Of every `WINDOW` readings in a row."""
    total = np.concatenate([[0.0], errors.cumsum()])
    means: Float = (total[WINDOW:] - total[:-WINDOW]) / WINDOW
    return means


def _part(history: History, start: int, stop: int) -> History:
    return replace(history, ts=history.ts[start:stop], values=history.values[start:stop])
