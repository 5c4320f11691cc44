"""Train the series of a frame, and compare training runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from tidecast.errors import SettingsError
from tidecast.files.history import History
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder
from tidecast.suggestions import did_you_mean, listed
from tidecast.tools.frames.arguments import Time, moment_ms
from tidecast.tools.frames.building import ToPandas, import_pandas
from tidecast.tools.frames.frame_options import FrameOptions, FrameRequest, request_of
from tidecast.tools.own_packages import own_packages
from tidecast.tools.trained_model import TrainedModel, load_model

if TYPE_CHECKING:
    import pandas as pd

    from trainer.fit.own_networks import Fit
    from trainer.pipeline import TrainOptions
    from trainer.verdict import Verdict

_COLUMNS = ("unique_id", "status", "version", "skill", "mae", "rmse", "mase", "mae_last_value", "rows", "reason")
MEASURES = ("mae", "rmse", "mase", "skill")


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The result of a training.

    Attributes:
        verdicts: a row for each series: `unique_id`, `status`, `version`; on the unseen newest readings `skill`,
            `mae`, `rmse`, `mase`, `mae_last_value` and their number `rows`; and `reason`.
        store: the directory of the store.
    """

    verdicts: "pd.DataFrame"
    store: Path

    @property
    def models(self) -> dict[str, TrainedModel]:
        """Load the versions of this run, promoted or not, by series; a series without a version is left out."""
        stored = self.verdicts.dropna(subset=["version"])
        pairs = zip(stored["unique_id"], stored["version"], strict=True)
        return {series: load_model(series, self.store, int(version)) for series, version in pairs}


@own_packages()
def train(
    frame: "pd.DataFrame | ToPandas",
    store: Path | str | None = None,
    season: int | None = None,
    force: bool = False,
    created: Time | None = None,
    networks: Mapping[str, TrainedModel] | None = None,
    **options: Unpack[FrameOptions],
) -> TrainingRun:
    """Train the series of a frame, and publish each model that is better than the champion, as `tidecast train` does.

    The same frame, options, seed and time of creation give models of the same bytes in an empty store on the same
    machine.

    Args:
        frame: as for `backtest`.
        store: the directory of the store; None: the setting `store`, which workers read too.
        season: the season in readings; None: detected in the data; 1: no season.
        force: train series again that were trained with the same options on the same readings.
        created: the time of creation that the models get; None: now.
        networks: by series, models whose networks are judged and published as they are, such as those of
            `TrainedModel.from_keras`. Their other experts are fitted to the frame.
        options: see `FrameOptions`. Without a preset and a shape, the networks get the tuned shape of the store or the
            default one.

    Raises:
        HistoryError: the frame cannot be read, the target is not clear, or no series can be read.
        SettingsError: an argument or a setting is invalid.
        TidecastError: the extra `train` is not installed.
        StoreError: the store cannot be written.
    """
    import_pandas()
    request = request_of(options, store=store)
    now_ms = None if created is None else moment_ms("created", created)
    check_folder("the store", request.settings.store)

    from trainer.fit.seasonality import check_season
    from trainer.pipeline import TrainOptions
    from trainer.verdict import Verdict

    check_season(season)
    histories = request.read(frame)
    how = TrainOptions(season=season, force=force, now_ms=now_ms)
    verdicts = [Verdict(refusal.series, "refused", refusal.reason) for refusal in histories.refused]
    verdicts += _verdicts(histories.accepted, request, how, networks or {})
    return TrainingRun(_frame(verdicts), request.settings.store)


def _verdicts(
    histories: Sequence[History], request: FrameRequest, how: "TrainOptions", networks: Mapping[str, TrainedModel]
) -> list["Verdict"]:
    """Train the series without a given network, and judge the given networks."""
    from trainer.pipeline import train as train_histories
    from trainer.tuning.tune import tuned_or_default

    _check_networks(networks, histories)
    settings = request.settings
    spec = request.spec
    if spec is None:
        spec, settings = tuned_or_default(settings)
    store = ModelStore(settings.store)
    untrained = [history for history in histories if history.series not in networks]
    verdicts = train_histories(untrained, spec, settings, store, how)
    for history in histories:
        if model := networks.get(history.series):
            as_it_is = replace(how, force=True, train_cohorts=False, fit=_fit_of(model))
            verdicts += train_histories([history], model.spec, settings, store, as_it_is)
    return verdicts


def _check_networks(networks: Mapping[str, TrainedModel], histories: Sequence[History]) -> None:
    """Check that each network has its series in the frame, with the features that it reads."""
    features = {history.series: history.features for history in histories}
    for series, model in networks.items():
        if series not in features:
            raise SettingsError(f"networks has {series!r}, which is not in the frame: {did_you_mean(series, features)}")
        if model.spec.features != features[series]:
            raise SettingsError(
                f"the network of {series!r} reads {listed(model.spec.features)}, and the frame has "
                f"{listed(features[series])}: name the same target and features as in its training"
            )


def compare(runs: Mapping[str, TrainingRun] | Sequence[TrainingRun], measure: str = "mae") -> "pd.DataFrame":
    """Compare training runs on the same readings, series by series.

    Args:
        runs: the runs by name, or in a list; then their names are `run_1`, `run_2` and so on.
        measure: `mae`, `rmse`, `mase` or `skill`.

    Returns:
        A row for each series: `unique_id`, a column with the measure for each run (NaN where a run judged no model),
        and `best`, the name of the best run.

    Raises:
        SettingsError: no run is given, an argument is not a run, the measure does not exist, or two runs have judged a
            series by different readings.
    """
    pandas = import_pandas()
    named = dict(runs) if isinstance(runs, Mapping) else {f"run_{i}": run for i, run in enumerate(runs, 1)}
    if not named:
        raise SettingsError("runs is empty: give at least one run of `train`")
    for name, run in named.items():
        if not isinstance(run, TrainingRun):
            raise SettingsError(f"run {name!r} is of type {type(run).__name__}: give a run of `train`")
    if measure not in MEASURES:
        raise SettingsError(f"measure is {measure!r}: use one of {', '.join(MEASURES)}")
    verdicts = {name: run.verdicts.set_index("unique_id") for name, run in named.items()}
    _check_same_readings(verdicts)
    compared: pd.DataFrame = pandas.DataFrame({name: each[measure] for name, each in verdicts.items()})
    known = compared.dropna(how="all")
    best = known.idxmax(axis=1) if measure == "skill" else known.idxmin(axis=1)
    return compared.assign(best=best).rename_axis("unique_id").reset_index()


def _fit_of(model: TrainedModel) -> Callable[..., list["Fit"]]:
    """Return a fit that trains nothing, and returns the weights of a model."""
    from trainer.fit.own_networks import Fit

    def fit(problems: Sequence[object], *_: object, **__: object) -> list[Fit]:
        weights = {name: np.asarray(array, np.float32) for name, array in model.weights.items()}
        return [Fit(weights, (), (), 0) for _ in problems]

    return fit


def _frame(verdicts: Sequence["Verdict"]) -> "pd.DataFrame":
    rows = [
        (verdict.series, verdict.status, verdict.version, *_errors(verdict), verdict.reason) for verdict in verdicts
    ]
    frame: pd.DataFrame = import_pandas().DataFrame(rows, columns=list(_COLUMNS))
    whole = {"version": "Int64", "rows": "Int64"}
    return frame.astype(whole)


def _errors(verdict: "Verdict") -> tuple[Any, ...]:
    """Return skill, MAE, RMSE, MASE, the MAE of the last value and the number of readings."""
    evidence = verdict.evidence
    if evidence is None:
        return (nan, nan, nan, nan, nan, None)
    model = evidence.scores["model"]
    mase = nan if model.mase is None else model.mase
    return evidence.skill, model.mae, model.rmse, mase, evidence.scores["last_value"].mae, evidence.rows


def _check_same_readings(verdicts: Mapping[str, "pd.DataFrame"]) -> None:
    """Check that all runs have judged each series by the same readings."""
    pandas = import_pandas()
    judged = pandas.concat([each[["rows", "mae_last_value"]] for each in verdicts.values()]).dropna()
    counts = judged.groupby(level=0).nunique().max(axis=1)
    different = counts[counts > 1]
    if len(different):
        raise SettingsError(
            f"the runs judged series {different.index[0]!r} by different readings: train them on the same frame"
        )
