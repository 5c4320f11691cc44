"""Changes spliced into real series: measures whether the worker detects them, and the gain of a retraining after them.

The champions, including the series' own LSTMs, are trained on the first part of each series. The worker's code
forecasts the rest, both unchanged and with a change from a known reading on. A fixed number of readings later the
series is retrained on all readings so far, including the gate. The forecasts after that are compared with those of the
unchanged series.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from trainer.pipeline import train
from trainer.verdict import Verdict

FITTED = 0.6  # of each series: the first part
PLACES, LONG = (0.4, 0.6, 0.8), 1000  # places of changes in the rest; a rest shorter than LONG has only the first
WITHIN = 100  # readings after a change in which it must be detected
LEARNED = 100  # readings after a change that the retraining is trained on
JUDGED = 200  # most readings after those whose errors are compared
FEWEST = 30  # fewest of them: a series with fewer is not retrained
LEVEL = 3.0  # standard deviations of the first part
STRONG = 0.3  # of the variance: a season with a smaller share is not moved
BACK = 1.1  # times the error on the unchanged series: below this the error is back to normal
LEAST = 378  # readings of a series, so that the rest is long enough to detect a change
BATCH = 1000
NAMES = ("level", "season")

Change = Callable[[Float, int], Float]  # takes the readings and the place; returns the changed readings


@dataclass(frozen=True, slots=True)
class Variant:
    """A series, unchanged or with a change."""

    history: History
    source: str  # the name of the real series
    cut: int  # the first reading of the rest
    kind: str = "unchanged"
    at: int = 0  # the first changed reading


@dataclass(frozen=True, slots=True)
class Told:
    """The detection of a change."""

    kind: str
    delay: int | None  # readings from the change to the alarm; None: not detected in time


@dataclass(frozen=True, slots=True)
class Recovery:
    """The errors with and without a retraining, over the error on the unchanged series at the same readings."""

    name: str
    kind: str
    status: str  # of the retraining
    ratio: float
    without: float


@dataclass(frozen=True, slots=True)
class Found:
    """The results: detected changes, false alarms, and errors after retraining."""

    series: int
    champions: int
    told: list[Told]
    false_alarms: int
    unchanged: int  # readings
    recoveries: list[Recovery]

    @property
    def found_share(self) -> float:
        """Return the share of the changes that were detected in time."""
        return float(np.mean([change.delay is not None for change in self.told]))

    @property
    def delay_median(self) -> float:
        """Return the median number of readings until detection."""
        delays = [change.delay for change in self.told if change.delay is not None]
        return float(np.median(delays)) if delays else float(WITHIN)

    @property
    def false_alarms_per_5000(self) -> float:
        """Return the number of alarms in 5,000 unchanged readings."""
        return 5000 * self.false_alarms / self.unchanged


@dataclass(frozen=True, slots=True)
class Answer:
    """A forecast and the reading at which it was made."""

    ts: int
    yhat: float
    y: float


def splice(histories: Sequence[History], settings: Settings, spec: Spec | None = None) -> Found:
    """Train on the first parts, forecast the rests with and without changes, and retrain the changed series."""
    spec = spec or Spec()
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        train([_until(h, _cut(h)) for h in histories], spec, settings, store)
        models = {h.series: store.load(h.series)[1] for h in histories if store.champion(h.series)}
        variants = [variant for h in histories for variant in _variants(h, models.get(h.series))]
        answers, alarms = _answer(variants, _named(variants, models), settings)
        spliced = [variant for variant in variants if variant.kind != "unchanged"]
        changed = [
            variant
            for variant in spliced
            if variant.at == _first_place(variant) and variant.source in models and _is_judged(variant)
        ]
        again = _retrained(changed, models, spec, settings, store)
        after, _ = _answer(changed, _named(changed, models), settings, again)
    unchanged = {variant.source: variant for variant in variants if variant.kind == "unchanged"}
    return Found(
        series=len(histories),
        champions=len(models),
        told=[Told(variant.kind, _delay(variant, alarms[variant.history.series])) for variant in spliced],
        false_alarms=sum(len(alarms[variant.history.series]) for variant in unchanged.values()),
        unchanged=sum(
            _looked_at(variant, settings, has_champion=variant.source in models) for variant in unchanged.values()
        ),
        recoveries=[
            _recovery(variant, again[variant.history.series][0], after, answers, unchanged[variant.source])
            for variant in changed
        ],
    )


def moved_level(past: Float) -> Change:
    """Return a change of the level by `LEVEL` standard deviations."""

    def change(y: Float, at: int) -> Float:
        changed: Float = y + LEVEL * past.std() * (np.arange(len(y)) >= at)
        return changed

    return change


def moved_season(past: Float, season: int) -> Change:
    """Return a change that delays the season's shape by half a season."""
    shape = _profile(past, season)

    def change(y: Float, at: int) -> Float:
        row = np.arange(len(y))
        changed: Float = y + (shape[(row + season // 2) % season] - shape[row % season]) * (row >= at)
        return changed

    return change


def _profile(past: Float, season: int) -> Float:
    whole = past[: len(past) // season * season].reshape(-1, season)
    profile: Float = whole.mean(axis=0) - whole.mean()
    return profile


def _is_strong(past: Float, season: int) -> bool:
    return len(past) >= 2 * season and _profile(past, season).var() >= STRONG * past.var() > 0


def _variants(h: History, model: Model | None) -> Iterator[Variant]:
    """Yield the unchanged series, and one variant for each change at each place."""
    cut = _cut(h)
    y = h.values[:, 0]
    past = y[:cut]
    yield Variant(replace(h, series=f"{h.series}|unchanged"), h.series, cut)
    changes = {"level": moved_level(past)}
    if model and model.header.seasons and _is_strong(past, model.header.seasons[0]):
        changes["season"] = moved_season(past, model.header.seasons[0])
    for place in PLACES if len(y) - cut >= LONG else PLACES[:1]:
        at = cut + int(place * (len(y) - cut))
        for kind, change in changes.items():
            values = change(y, at)[:, None]
            yield Variant(replace(h, series=f"{h.series}|{kind} {place}", values=values), h.series, cut, kind, at)


def _named(variants: Iterable[Variant], models: Mapping[str, Model]) -> dict[str, Model]:
    """Return the champion of each variant under the variant's name."""
    return {
        variant.history.series: _renamed(models[variant.source], variant)
        for variant in variants
        if variant.source in models
    }


def _renamed(model: Model, variant: Variant) -> Model:
    return Model(model.header.model_copy(update={"series": variant.history.series}), model.weights, model.panel)


def _retrained(
    variants: Sequence[Variant], models: Mapping[str, Model], spec: Spec, settings: Settings, store: ModelStore
) -> dict[str, tuple[Verdict, Model]]:
    """Retrain each variant on its readings up to `LEARNED` after the change; return verdicts and champions by name."""
    for name, model in _named(variants, models).items():
        store.publish(model)
        assert store.champion(name)  # noqa: S101 - the first version is promoted
    verdicts = train([_until(each.history, each.at + LEARNED) for each in variants], spec, settings, store)
    return {verdict.series: (verdict, store.load(verdict.series)[1]) for verdict in verdicts}


def _answer(
    variants: Sequence[Variant],
    models: Mapping[str, Model],
    settings: Settings,
    again: Mapping[str, tuple[Verdict, Model]] | None = None,
) -> tuple[dict[str, list[Answer]], dict[str, list[int]]]:
    """Return the worker's forecasts of the rests, and the readings with drift alarms, counted from the series' first.

    Args:
        variants: the series, independent of each other.
        models: by name, the champion.
        settings: of the series.
        again: by name, the verdict and champion after the retraining; None: no retraining.
    """
    forecaster = Forecaster(settings.series)
    made: dict[str, list[Answer]] = {}
    alarms: dict[str, list[int]] = {}
    for variant in variants:
        h = variant.history
        name = h.series
        made[name] = []
        alarms[name] = []
        if name in models:
            forecaster.set_model(name, 1, models[name])
        start = max(0, variant.cut - forecaster.rows_read(name))
        retrained = variant.at + LEARNED if again else len(h)
        parts = [(start, retrained), (retrained, len(h))]
        for first, stop in parts:
            if first == retrained and again and again[name][0].status == "trained":
                forecaster.set_model(name, 2, again[name][1])
            for batch in _batches(h, first, stop):
                outcome = forecaster.handle(batch, int(h.ts[-1]))
                made[name] += [Answer(f.origin, f.yhat, f.y) for f in outcome.forecasts]
                alarms[name] += [int(np.searchsorted(h.ts, drift.ts)) for drift in outcome.drifts]
    return made, alarms


def _looked_at(variant: Variant, settings: Settings, *, has_champion: bool) -> int:
    """Return the number of readings that may raise a drift alarm.

    Without a champion these include the readings that fill the window before the rest.
    """
    before = 0 if has_champion else min(variant.cut, settings.series.rows_kept)
    return len(variant.history) - variant.cut + before


def _batches(h: History, first: int, stop: int) -> Iterator[list[Entry]]:
    name = h.series.encode()
    for start in range(first, stop, BATCH):
        rows = range(start, min(start + BATCH, stop))
        yield [
            (f"{ts}-0", {b"series": name, b"ts": b"%d" % ts, h.features[0].encode(): repr(y).encode()})
            for ts, y in ((int(h.ts[i]), float(h.values[i, 0])) for i in rows)
        ]


def _delay(variant: Variant, alarms: Sequence[int]) -> int | None:
    return next((at - variant.at for at in alarms if variant.at <= at < variant.at + WITHIN), None)


def _recovery(
    variant: Variant,
    verdict: Verdict,
    after: Mapping[str, list[Answer]],
    before: Mapping[str, list[Answer]],
    unchanged: Variant,
) -> Recovery:
    first = variant.at + LEARNED + 1  # its forecast is the first by the new champion
    since, until = (
        int(variant.history.ts[first]),
        int(variant.history.ts[min(first + JUDGED, len(variant.history)) - 1]),
    )
    name = variant.history.series
    usual = _error(before[unchanged.history.series], since, until)
    mine = _error(after[name], since, until)
    without = _error(before[name], since, until)
    return Recovery(variant.source, variant.kind, verdict.status, mine / usual, without / usual)


def _error(answers: Sequence[Answer], since: int, until: int) -> float:
    errors = [abs(answer.y - before.yhat) for before, answer in pairwise(answers) if since <= answer.ts <= until]
    return max(float(np.mean(errors)), np.finfo(np.float64).tiny)


def _first_place(variant: Variant) -> int:
    return variant.cut + int(PLACES[0] * (len(variant.history) - variant.cut))


def _is_judged(variant: Variant) -> bool:
    return len(variant.history) - variant.at > LEARNED + FEWEST


def _cut(history: History) -> int:
    return int(FITTED * len(history))


def _until(history: History, stop: int) -> History:
    return replace(history, ts=history.ts[:stop], values=history.values[:stop])
