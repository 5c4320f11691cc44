"""Choose the retraining schedule of this installation, or the reason for not having one."""

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tidecast.durations import duration_text
from tidecast.settings import NEVER, RetrainSettings, Settings

DEFAULT_EVERY_S = 6 * 3600.0
PACKAGES = ("keras", "pandas", "pyarrow", "tensorflow")  # what the child process imports
ELSEWHERE = "or run the schedule elsewhere with `tidecast retrain --daemon`"


@dataclass(frozen=True, slots=True)
class ScheduleChoice:
    """The schedule of this installation, or the reason for not having one.

    Attributes:
        retrain: the settings; for the default schedule, `every` is filled in.
        by_default: whether the schedule is the default, not set; any other schedule of the same series replaces it.
        why_off: the reason for not having a schedule; empty with a schedule.
        remedy: how to get a schedule.
    """

    retrain: RetrainSettings
    by_default: bool = False
    why_off: str = ""
    remedy: str = ""

    @property
    def on(self) -> bool:
        """Return whether there is a schedule."""
        return not self.why_off

    def __str__(self) -> str:
        """Describe it in one line, for people."""
        if not self.on:
            return f"off here: {self.why_off}; {self.remedy}"
        every = self.retrain.every
        when = f"every {duration_text(every)}" if isinstance(every, float) else f"cron {self.retrain.cron}"
        return f"{when}, by default" if self.by_default else when


def choose_schedule(settings: Settings) -> ScheduleChoice:
    """Return the schedule of the settings, or else the default one if retraining can run here."""
    retrain = settings.retrain
    if retrain.every == NEVER and not retrain.cron:
        return ScheduleChoice(
            retrain, why_off=f'retrain.every is "{NEVER}"', remedy='set it to a duration such as "6h"'
        )
    if retrain.asks_for_schedule:
        return ScheduleChoice(retrain)
    if missing := missing_packages():
        why = f"the training packages are not installed ({', '.join(missing)})"
        return ScheduleChoice(retrain, why_off=why, remedy=f"pip install 'tidecast[train]', {ELSEWHERE}")
    if problem := why_not_writable(settings.store):
        why = f"the store {settings.store} cannot be written ({problem})"
        return ScheduleChoice(retrain, why_off=why, remedy=f"let this user write there, {ELSEWHERE}")
    return ScheduleChoice(retrain.model_copy(update={"every": DEFAULT_EVERY_S}), by_default=True)


def missing_packages() -> list[str]:
    """Return the packages for training that are not installed, without importing any."""
    return [name for name in PACKAGES if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a finder refuses it, or it is installed incompletely
        return False


def why_not_writable(store: Path) -> str:
    """Return why a store cannot be written, or an empty text; if it does not exist, check its nearest folder."""
    folder = store.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""
