"""Changes spliced into real series: measures whether the worker detects them, and the gain of a retraining after them.

The champions, including the series' own LSTMs, are trained on the first part of each series. The worker's code
forecasts the rest, both unchanged and with a change from a known reading on. A fixed number of readings later the
series is retrained on all readings so far, including the gate. The forecasts after that are compared with those of the
unchanged series.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.harness.detection.changes import Variant, cut_of, first_place, variants_of
from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from trainer.evaluation.virtual_clock import results_of
from trainer.pipeline import train
from trainer.verdict import Verdict

WITHIN = 100  # readings after a change in which it must be detected
LEARNED = 100  # readings after a change that the retraining is trained on
JUDGED = 200  # most readings after those whose errors are compared
FEWEST = 30  # fewest of them: a series with fewer is not retrained
BACK = 1.1  # times the error on the unchanged series: below this the error is back to normal
LEAST = 378  # readings of a series, so that the rest is long enough to detect a change


@dataclass(frozen=True, slots=True)
class Detection:
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
class SpliceResult:
    """The results: detected changes, false alarms, and errors after retraining."""

    series: int
    champions: int
    detections: list[Detection]
    false_alarms: int
    unchanged: int  # readings
    recoveries: list[Recovery]

    @property
    def detected_share(self) -> float:
        """Return the share of the changes that were detected in time."""
        return float(np.mean([detection.delay is not None for detection in self.detections]))

    @property
    def delay_median(self) -> float:
        """Return the median number of readings until detection."""
        delays = [detection.delay for detection in self.detections if detection.delay is not None]
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


def splice(histories: Sequence[History], settings: Settings) -> SpliceResult:
    """Train on the first parts, forecast the rests with and without changes, and retrain the changed series."""
    spec = Spec()
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        train([_until(h, cut_of(h)) for h in histories], spec, settings, store)
        models = {h.series: store.load(h.series)[1] for h in histories if store.champion(h.series)}
        variants = [variant for h in histories for variant in variants_of(h, models.get(h.series))]
        answers, alarms = _answer(variants, _named(variants, models), settings)
        spliced = [variant for variant in variants if variant.kind != "unchanged"]
        changed = [
            variant
            for variant in spliced
            if variant.at == first_place(variant) and variant.source in models and _is_judged(variant)
        ]
        again = _retrained(changed, models, spec, settings, store)
        after, _ = _answer(changed, _named(changed, models), settings, again)
    unchanged = {variant.source: variant for variant in variants if variant.kind == "unchanged"}
    return SpliceResult(
        series=len(histories),
        champions=len(models),
        detections=[Detection(variant.kind, _delay(variant, alarms[variant.history.series])) for variant in spliced],
        false_alarms=sum(len(alarms[variant.history.series]) for variant in unchanged.values()),
        unchanged=sum(
            _monitored(variant, settings, has_champion=variant.source in models) for variant in unchanged.values()
        ),
        recoveries=[
            _recovery(variant, again[variant.history.series][0], after, answers, unchanged[variant.source])
            for variant in changed
        ],
    )


def _named(variants: Iterable[Variant], models: Mapping[str, Model]) -> dict[str, Model]:
    """Return the champion of each variant under the variant's name."""
    return {
        variant.history.series: _renamed(models[variant.source], variant)
        for variant in variants
        if variant.source in models
    }


def _renamed(model: Model, variant: Variant) -> Model:
    return replace(model, header=model.header.model_copy(update={"series": variant.history.series}))


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
        history = variant.history
        name = history.series
        made[name] = []
        alarms[name] = []
        if name in models:
            forecaster.set_model(name, 1, models[name])
        start = max(0, variant.cut - forecaster.rows_read(name))
        retrained = variant.at + LEARNED if again else len(history)
        for first, stop in [(start, retrained), (retrained, len(history))]:
            if first == retrained and again and again[name][0].status == "trained":
                forecaster.set_model(name, 2, again[name][1])
            for result in results_of(forecaster, [_until(history, stop)], {name: first}):
                made[name] += [Answer(f.origin, f.yhat, f.y) for f in result.forecasts]
                alarms[name] += [int(np.searchsorted(history.ts, drift.ts)) for drift in result.drifts]
    return made, alarms


def _monitored(variant: Variant, settings: Settings, *, has_champion: bool) -> int:
    """Return the number of readings that may raise a drift alarm.

    Without a champion these include the readings that fill the window before the rest.
    """
    before = 0 if has_champion else min(variant.cut, settings.series.rows_kept)
    return len(variant.history) - variant.cut + before


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
    since = int(variant.history.ts[first])
    until = int(variant.history.ts[min(first + JUDGED, len(variant.history)) - 1])
    name = variant.history.series
    usual = _error(before[unchanged.history.series], since, until)
    mine = _error(after[name], since, until)
    without = _error(before[name], since, until)
    return Recovery(variant.source, variant.kind, verdict.status, mine / usual, without / usual)


def _error(answers: Sequence[Answer], since: int, until: int) -> float:
    errors = [abs(answer.y - before.yhat) for before, answer in pairwise(answers) if since <= answer.ts <= until]
    return max(float(np.mean(errors)), np.finfo(np.float64).tiny)


def _is_judged(variant: Variant) -> bool:
    return len(variant.history) - variant.at > LEARNED + FEWEST


def _until(history: History, stop: int) -> History:
    return replace(history, ts=history.ts[:stop], values=history.values[:stop])
