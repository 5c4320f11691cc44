"""The training pipeline: takes histories, writes versions to the store and returns a verdict on each series."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidecast.files.history import History
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import BucketSettings, Settings
from trainer.fit.own_networks import Fit, fit_networks
from trainer.fit.seasonality import check_season, check_season_fits
from trainer.runs.driver import Driver
from trainer.runs.job import Job
from trainer.runs.local import LocalRun
from trainer.shared_networks import networks_in
from trainer.verdict import Verdict

if TYPE_CHECKING:
    from trainer.runs.remote import RemoteRun

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of one training run.

    Attributes:
        season: the season length in rows; None: detected from the data; 1: no season.
        force: train a series even if it was trained with the same settings on the same readings.
        progress: called after every epoch and every shard with the number of histories done. A history in training
            counts by the share of its epochs.
        on_verdicts: called with the verdicts of each shard as soon as its versions are published.
        now_ms: the creation time of the versions, epoch milliseconds; None: now.
        fit: trains the prepared series of a shard, as `fit_networks` does; only in this process.
        train_cohorts: whether to train the cohorts' networks; otherwise those in the store stay in use.
        scheduler: the address of a scheduler of Dask, whose workers train; empty: this process trains.
        until: the time of the monotonic clock after which no shard begins; None: all are trained.
    """

    season: int | None = None
    force: bool = False
    progress: Progress | None = None
    on_verdicts: Callable[[Sequence[Verdict]], None] | None = None
    now_ms: int | None = None
    fit: Callable[..., list[Fit]] = fit_networks
    train_cohorts: bool = True
    scheduler: str = ""
    until: float | None = None


def train(
    histories: Sequence[History],
    spec: Spec,
    settings: Settings,
    store: ModelStore,
    options: TrainOptions | None = None,
) -> list[Verdict]:
    """Train a model for each history and publish it where it is better than the current champion.

    A series that cannot be trained does not stop the others. If the run is interrupted, published versions stay and
    the same call resumes there. The verdicts are in the order of the histories.

    Args:
        histories: one for each series.
        spec: the network's shape; target and features come from each history.
        settings: how to fit and judge (`train`); which gaps to fill and what level to cover (`series`).
        store: champions are read from it and versions are written to it.
        options: of this run.

    Raises:
        SettingsError: the season is out of range.
        StoreError: the store or its bucket cannot be written.
    """
    options = options or TrainOptions()
    check_season(options.season)
    check_season_fits(options.season, max(map(len, histories), default=0))
    created_ms = round(time.time() * 1000) if options.now_ms is None else options.now_ms
    if store.root != settings.store:  # of a backtest or a search: its models must not reach the bucket
        settings = settings.model_copy(update={"bucket": BucketSettings()})
    copy_changes(store, settings.bucket.url)
    job = Job(spec, settings, options.season, created_ms)
    tally = _Tally(options, settings.train.epochs)
    run = _run_of(histories, job, store, options, tally)
    tally.add(run.plan.verdicts)
    if run.plan.series:
        with run:
            on_verdicts = run.observed(tally.add)
            driver = Driver(run.driver_folder, store, run.engine, run.created_ms, run.plan.names_of, on_verdicts)
            driver.run(run.plan.cohorts, run.results)
            if not options.train_cohorts or settings.train.shared_epochs:
                run.use_networks(networks_in(store))
            driver.run(run.plan.series, run.results, options.until)
        copy_changes(store, settings.bucket.url)
    return [tally.verdicts[history.series] for history in histories if history.series in tally.verdicts]


class _Tally:
    """The verdicts so far, and the progress."""

    def __init__(self, options: TrainOptions, epochs: int) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._options = options
        self._epochs = epochs
        self._begun = 0  # series of the shard in training

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Add the verdicts of a shard."""
        self.verdicts |= {verdict.series: verdict for verdict in verdicts}
        self._begun = 0
        if verdicts and self._options.on_verdicts:
            self._options.on_verdicts(verdicts)
        if self._options.progress:
            self._options.progress(len(self.verdicts))

    def on_epoch(self, epoch: int, in_training: int) -> None:
        """Report the progress within a shard in this process."""
        self._begun = max(self._begun, in_training)
        share = min(1.0, epoch / self._epochs)
        if self._options.progress:
            self._options.progress(len(self.verdicts) + self._begun - in_training * (1 - share))


def _run_of(
    histories: Sequence[History], job: Job, store: ModelStore, options: TrainOptions, tally: _Tally
) -> "LocalRun | RemoteRun":
    if options.scheduler:
        from trainer.runs.remote import RemoteRun  # imported late: it needs further packages

        return RemoteRun(
            histories,
            job,
            store,
            scheduler=options.scheduler,
            force=options.force,
            train_cohorts=options.train_cohorts,
        )
    return LocalRun(
        histories,
        job,
        store,
        force=options.force,
        train_cohorts=options.train_cohorts,
        fit=options.fit,
        on_epoch=tally.on_epoch,
    )
