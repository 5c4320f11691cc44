"""The settings of training and retraining, and of the bucket that passes models on."""

from pathlib import Path

from pydantic import Field

from tidecast.settings.groups import Group
from tidecast.settings.values import (
    NEVER,
    BucketAddress,
    Duration,
    Moment,
    Period,
    SchedulerAddress,
    Size,
    as_written,
)


class TrainSettings(Group):
    """The settings of the trainer: fitting and testing a model."""

    epochs: int = Field(24, ge=1, description="How often each example is seen at most.")
    patience: int = Field(5, ge=1, description="How many epochs without a better validation loss end a training.")
    batch: int = Field(64, ge=1, description="How many examples one step of the optimiser averages.")
    learning_rate: float = Field(6e-3, gt=0, description="The step size of Adam.")
    shared_epochs: int = Field(3, ge=0, description="The epochs of a cohort's network; 0: none is trained.")
    validation: float = Field(
        0.1,
        gt=0,
        lt=0.9,
        description="The share of the training part that is kept for validation: its loss stops the training early.",
    )
    test: float = Field(
        0.15,
        gt=0,
        lt=0.9,
        description="The share of the newest readings that judges a model; of a short history 60 readings, "
        "but at most 35 %.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="The seed of the initial weights, the order of the examples, and the fit of own experts.",
    )


class RetrainSettings(Group):
    """The settings of retraining while workers run: the times, the series and the limits."""

    every: Period | None = Field(
        None,
        description="The time from one retraining to the next, such as 6h or 7d; `never`: no schedule. "
        "If this and `cron` are empty: 6h where the training packages are installed and the store can be written, "
        "else never.",
    )
    cron: str | None = Field(
        None, description='Retrain at these times, as five fields of crontab: `"0 3 * * *"`. Empty: see `every`.'
    )
    time_zone: str = Field("UTC", description="The zone of `cron`, such as `Europe/Berlin`.")
    jitter: Duration = Field(
        as_written("0s"),
        ge=0,
        description="Delay each run by a random time up to this, so that not all workers train at once.",
    )
    pattern: str = Field("*", description="Which series: a pattern of their names, such as `boiler-*`.")
    since: Moment | None = Field(
        None, description="Learn from readings that arrived since, such as 90d (ago) or 2026-03-01. Empty: from all."
    )
    history: Path | None = Field(None, description="The directory of archived readings, to learn from them too.")
    min_history: int = Field(200, ge=20, description="How many readings a series needs for its first model.")
    min_new: int = Field(50, ge=8, description="How many new readings make a series with a champion due.")
    scheduler: SchedulerAddress = Field(
        "",
        description="The scheduler of Dask whose workers train, such as `tcp://scheduler:8786`. Empty: the run itself.",
    )
    budget: Duration = Field(as_written("10m"), description="How long a run trains; the most urgent series come first.")
    timeout: Duration = Field(as_written("1h"), description="A run that takes longer is killed.")
    memory: Size = Field(
        as_written("4GB"), ge=256 * 2**20, description="A run that takes more resident memory is killed."
    )
    low_priority: bool = Field(
        True,
        description="Whether a run uses only idle processor time. "
        "Set `false` on a machine that is always busy, where it would hardly advance.",
    )
    retries: int = Field(3, ge=0, description="How often a run that failed is tried again, later each time.")
    probation: int = Field(
        100,
        ge=0,
        description="For how many readings a new champion is compared with the former one, and rolled back if it is "
        "worse. 0: none.",
    )

    @property
    def asks_for_schedule(self) -> bool:
        """Return whether a schedule is set; a schedule that cannot run is then an error."""
        return bool(self.cron or (self.every and self.every != NEVER))


class BucketSettings(Group):
    """The settings of the bucket in object storage that keeps a copy of the store for other machines."""

    url: BucketAddress = Field("", description="The bucket, such as `s3://models/plant`. Empty: none.")
    every: Duration = Field(as_written("10s"), ge=0.1, description="How often a worker copies changes to and from it.")
