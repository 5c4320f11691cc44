"""All settings, from `tidecast.toml` and the environment."""

from tidecast.settings.groups import (
    LONGEST_LEASE_S,
    AnomalyRule,
    AnomalySettings,
    DashboardSettings,
    ExpertSettings,
    SeriesSettings,
    WorkerSettings,
)
from tidecast.settings.load import (
    CONFIG_VARIABLE,
    DEFAULT_FILE,
    PREFIX,
    Settings,
    cores,
    environment_of_one_thread,
    environment_with,
    load_settings,
    passed_settings,
    quiet_tensorflow,
    with_worker_name,
    worker_name,
    worker_threads,
)
from tidecast.settings.notify import NotifySettings
from tidecast.settings.training import BucketSettings, RetrainSettings, TrainSettings
from tidecast.settings.values import NEVER

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_FILE",
    "LONGEST_LEASE_S",
    "NEVER",
    "PREFIX",
    "AnomalyRule",
    "AnomalySettings",
    "BucketSettings",
    "DashboardSettings",
    "ExpertSettings",
    "NotifySettings",
    "RetrainSettings",
    "SeriesSettings",
    "Settings",
    "TrainSettings",
    "WorkerSettings",
    "cores",
    "environment_of_one_thread",
    "environment_with",
    "load_settings",
    "passed_settings",
    "quiet_tensorflow",
    "with_worker_name",
    "worker_name",
    "worker_threads",
]
