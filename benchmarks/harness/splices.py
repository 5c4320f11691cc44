"""Changes spliced into real series: whether the worker tells them, and what a retraining after them is worth.

The champions, own LSTM included, learn from the first part of each series, and the worker's own code answers the rest:
as it is, and with a change from a known reading on. So many readings later the series is trained anew on all that
came, gate included, and what is answered from then on is compared with the answers to the unchanged series.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import Float
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from trainer.pipeline import Verdict, train

FITTED = 0.6  # of each series
PLACES, LONG = (0.4, 0.6, 0.8), 1000  # of the rest; a shorter one has a change at the first place alone
WITHIN = 100  # readings after a change, in which it is to be told
LEARNED = 100  # readings after it, that the retraining learns from
JUDGED = 200  # readings after that, at most, whose errors are compared
FEWEST = 30  # and at least: a series with fewer left is not trained anew
LEVEL = 3.0  # standard deviations of the first part
STRONG = 0.3  # of the variance: what a season must make up to be moved
BACK = 1.1  # times the error on the unchanged series: it is back
LEAST = 378  # readings of a series: of the rest enough are left to tell a change
BATCH = 1000
NAMES = ("level", "season")

Change = Callable[[Float, int], Float]  # the readings and where: the changed ones


@dataclass(frozen=True, slots=True)
class Variant:
    """A series, unchanged or with a change."""

    history: History
    source: str  # the series' own name
    cut: int  # the first reading of the rest
    kind: str = "unchanged"
    at: int = 0  # the first changed reading


@dataclass(frozen=True, slots=True)
class Told:
    """Whether a change was told."""

    kind: str
    delay: int | None  # readings from the change to the alarm; None: not told in time


@dataclass(frozen=True, slots=True)
class Recovery:
    """The error after a retraining, and without it, over that on the unchanged series at the same readings."""

    name: str
    kind: str
    status: str  # of the retraining
    ratio: float
    without: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the worker told, and what became of the errors."""

    series: int
    champions: int
    told: list[Told]
    false_alarms: int
    unchanged: int  # readings
    recoveries: list[Recovery]

    @property
    def found_share(self) -> float:
        """The share of the changes that were told in time."""
        return float(np.mean([one.delay is not None for one in self.told]))

    @property
    def delay_median(self) -> float:
        """Readings until they were."""
        delays = [one.delay for one in self.told if one.delay is not None]
        return float(np.median(delays)) if delays else float(WITHIN)

    @property
    def false_alarms_per_5000(self) -> float:
        """Alarms in 5,000 unchanged readings."""
        return 5000 * self.false_alarms / self.unchanged


@dataclass(frozen=True, slots=True)
class Answer:
    """A forecast and the reading at which it was made."""

    ts: int
    yhat: float
    y: float


def splice(histories: Sequence[History], settings: Settings, spec: Spec | None = None) -> Found:
    """Train on the first parts, answer the rests with and without changes, and train the changed ones anew."""
    spec = spec or Spec()
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        train([_until(h, _cut(h)) for h in histories], spec, settings, store)
        models = {h.series: store.load(h.series)[1] for h in histories if store.champion(h.series)}
        variants = [one for h in histories for one in _variants(h, models.get(h.series))]
        answers, alarms = _answer(variants, _named(variants, models), settings)
        changed = [one for one in variants if one.kind != "unchanged" and one.at == _first_place(one)]
        changed = [one for one in changed if one.source in models and _is_judged(one)]
        again = _retrained(changed, models, spec, settings, store)
        after, _ = _answer(changed, _named(changed, models), settings, again)
    unchanged = {one.source: one for one in variants if one.kind == "unchanged"}
    return Found(
        series=len(histories),
        champions=len(models),
        told=[Told(one.kind, _delay(one, alarms[one.history.series])) for one in variants if one.kind != "unchanged"],
        false_alarms=sum(len(alarms[one.history.series]) for one in unchanged.values()),
        unchanged=sum(_looked_at(one, settings, has_champion=one.source in models) for one in unchanged.values()),
        recoveries=[
            _recovery(one, again[one.history.series][0], after, answers, unchanged[one.source]) for one in changed
        ],
    )


def moved_level(past: Float) -> Change:
    """The readings stand elsewhere."""

    def change(y: Float, at: int) -> Float:
        changed: Float = y + LEVEL * past.std() * (np.arange(len(y)) >= at)
        return changed

    return change


def moved_season(past: Float, season: int) -> Change:
    """The shape of the season comes half a season later."""
    shape = _profile(past, season)

    def change(y: Float, at: int) -> Float:
        row = np.arange(len(y))
        changed: Float = y + (shape[(row + season // 2) % season] - shape[row % season]) * (row >= at)
        return changed

    return change


def _profile(past: Float, season: int) -> Float:
    whole = past[: len(past) // season * season].reshape(-1, season)
    found: Float = whole.mean(axis=0) - whole.mean()
    return found


def _is_strong(past: Float, season: int) -> bool:
    return len(past) >= 2 * season and _profile(past, season).var() >= STRONG * past.var() > 0


def _variants(h: History, model: Model | None) -> Iterator[Variant]:
    """The series as it is, and each change at each place."""
    cut, y = _cut(h), h.values[:, 0]
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
    """The champion of each variant under its own name."""
    return {one.history.series: _renamed(models[one.source], one) for one in variants if one.source in models}


def _renamed(model: Model, variant: Variant) -> Model:
    return Model(model.header.model_copy(update={"series": variant.history.series}), model.weights, model.panel)


def _retrained(
    variants: Sequence[Variant], models: Mapping[str, Model], spec: Spec, settings: Settings, store: ModelStore
) -> dict[str, tuple[Verdict, Model]]:
    """Train each on what came until some readings after its change; by name the verdict and who answers then."""
    for name, model in _named(variants, models).items():
        store.publish(model)
        assert store.champion(name)  # noqa: S101 - the first version is promoted
    verdicts = train([_until(one.history, one.at + LEARNED) for one in variants], spec, settings, store)
    return {verdict.series: (verdict, store.load(verdict.series)[1]) for verdict in verdicts}


def _answer(
    variants: Sequence[Variant],
    models: Mapping[str, Model],
    settings: Settings,
    again: Mapping[str, tuple[Verdict, Model]] | None = None,
) -> tuple[dict[str, list[Answer]], dict[str, list[int]]]:
    """What the worker answers to the rests, and at which readings it tells of drift, counted from the series' first.

    Args:
        variants: each on its own.
        models: who answers.
        settings: of the series.
        again: who answers from the retraining on; none: nobody else.
    """
    forecaster = Forecaster(settings.series)
    made: dict[str, list[Answer]] = {}
    alarms: dict[str, list[int]] = {}
    for one in variants:
        name, h = one.history.series, one.history
        made[name], alarms[name] = [], []
        if name in models:
            forecaster.adopt(name, 1, models[name])
        start = max(0, one.cut - forecaster.rows_read(name))
        retrained = one.at + LEARNED if again else len(h)
        parts = [(start, retrained), (retrained, len(h))]
        for first, stop in parts:
            if first == retrained and again and again[name][0].status == "trained":
                forecaster.adopt(name, 2, again[name][1])
            for batch in _batches(h, first, stop):
                outcome = forecaster.handle(batch, int(h.ts[-1]))
                made[name] += [Answer(f.origin, f.yhat, f.y) for f in outcome.forecasts]
                alarms[name] += [int(np.searchsorted(h.ts, one.ts)) for one in outcome.drifts]
    return made, alarms


def _looked_at(variant: Variant, settings: Settings, *, has_champion: bool) -> int:
    """The readings that may tell of a drift: without a champion also those that fill the window before the rest."""
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
    first = variant.at + LEARNED + 1  # its forecast is the first of who answers then
    since, until = (
        int(variant.history.ts[first]),
        int(variant.history.ts[min(first + JUDGED, len(variant.history)) - 1]),
    )
    name = variant.history.series
    usual = _error(before[unchanged.history.series], since, until)
    mine, without = (_error(answers[name], since, until) for answers in (after, before))
    return Recovery(variant.source, variant.kind, verdict.status, mine / usual, without / usual)


def _error(answers: Sequence[Answer], since: int, until: int) -> float:
    errors = [abs(one.y - before.yhat) for before, one in pairwise(answers) if since <= one.ts <= until]
    return max(float(np.mean(errors)), np.finfo(np.float64).tiny)


def _first_place(variant: Variant) -> int:
    return variant.cut + int(PLACES[0] * (len(variant.history) - variant.cut))


def _is_judged(variant: Variant) -> bool:
    return len(variant.history) - variant.at > LEARNED + FEWEST


def _cut(history: History) -> int:
    return int(FITTED * len(history))


def _until(history: History, stop: int) -> History:
    return replace(history, ts=history.ts[:stop], values=history.values[:stop])
