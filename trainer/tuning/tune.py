"""Hyperparameter search by Hyperband (Li et al. 2018, through Keras Tuner) for the best spec for a history.

Every trial leaks memory in TensorFlow, so the search runs in a child process that ends after some trials and is
restarted; Keras Tuner resumes from its files. Trials are judged on the validation part only.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from tidecast.durable import replace
from tidecast.errors import StoreError, TidecastError
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings
from tidecast.start import child_command
from trainer.data.gross_errors import without_gross_errors
from trainer.pipeline import train

AGAIN = 75  # the child's exit code when it ended to free memory: EX_TEMPFAIL, "try again"
TRIALS_A_CHILD = 20  # then a new child starts: each trial leaks some tens of megabytes
BETTER = 0.99  # of the default's validation loss: a smaller gain counts as noise, and the default is kept
JOB, TRIALS, DATA, LOG = "job.json", "trials.json", "history.npz", "search.log"
TUNED = "tuned.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SearchJob(_Frozen):
    """The child's parameters, kept in a file so that the child can be restarted."""

    features: tuple[str, ...]
    train: TrainSettings
    max_gap: int
    epochs: int  # of the longest trials
    trials_a_child: int


class Trial(_Frozen):
    """One trial: its spec, its learning rate, its epochs and its best loss on the validation part."""

    spec: Spec
    learning_rate: float
    epochs: int
    val_loss: float


class SearchTrials(_Frozen):
    """All finished trials of a search."""

    trials: tuple[Trial, ...]


class Trained(_Frozen):
    """A spec trained in full: its loss on the validation part, which decides, and its error on the tail.

    The loss is in units of the training part's mean change, the errors are in the series' unit.
    """

    spec: Spec
    learning_rate: float
    val_loss: float
    tail_mae: float
    tail_mae_last_value: float


class Tuned(_Frozen):
    """The result of a search: the chosen spec and the default that it was compared with."""

    series: str
    chosen: Trained
    default: Trained


def tune(
    history: History, settings: Settings, epochs: int, on_trials: Callable[[int], None]
) -> tuple[Tuned, list[Trial]]:
    """Search for a spec that fits this history better than the default, and save it in the store for `train`.

    The best trial and the default are both trained in full. The trial is chosen only if its validation loss is lower
    by more than noise. An interrupted search resumes at the next call.

    Args:
        history: one series.
        settings: of the training and the store.
        epochs: the epochs of the longest trials.
        on_trials: called with the number of finished trials whenever it has grown.

    Raises:
        TidecastError: the history is not suitable for a search, or the child failed.
    """
    history = without_gross_errors(history)
    default = _in_full(history, Spec(), settings.train.learning_rate, settings)
    trials = _search(history, settings, epochs, on_trials)
    best = _in_full(history, trials[0].spec, trials[0].learning_rate, settings)
    chosen = best if best.val_loss < BETTER * default.val_loss else default
    tuned = Tuned(series=history.series, chosen=chosen, default=default)
    settings.store.mkdir(parents=True, exist_ok=True)
    replace(settings.store / TUNED, tuned.model_dump_json(indent=1).encode())
    return tuned, trials


def read_tuned(store: Path) -> Tuned | None:
    """Return the result of the last search in this store, or None if there was none.

    Raises:
        StoreError: the file is damaged or not from a search.
    """
    try:
        return Tuned.model_validate_json((store / TUNED).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        raise StoreError(f"{store / TUNED} is not what `tidecast tune` writes: tune again, or delete it") from exc


def tuned_or_default(settings: Settings) -> tuple[Spec, Settings]:
    """Return the spec that the last search in the store chose, and the settings with its learning rate.

    Without a search these are the default spec and the settings as they are.
    """
    tuned = read_tuned(settings.store)
    return (tuned.chosen.spec, _with_rate(settings, tuned.chosen.learning_rate)) if tuned else (Spec(), settings)


def _with_rate(settings: Settings, learning_rate: float) -> Settings:
    training = settings.train.model_copy(update={"learning_rate": learning_rate})
    return settings.model_copy(update={"train": training})


def _search(history: History, settings: Settings, epochs: int, on_trials: Callable[[int], None]) -> list[Trial]:
    """Run the child until the search is done, and return the trials, the best first."""
    job = SearchJob(
        features=history.features,
        train=settings.train,
        max_gap=settings.series.max_gap,
        epochs=epochs,
        trials_a_child=TRIALS_A_CHILD,
    )
    folder = settings.store / "tuning" / _digest(history, job)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / DATA, ts=history.ts, values=history.values, left_out=history.left_out)
    (folder / JOB).write_text(job.model_dump_json())
    with (folder / LOG).open("ab") as log:
        while (code := _child(folder, log.fileno())) == AGAIN:
            on_trials(len(_read(folder)))
    if code != 0:
        tail = (folder / LOG).read_text(errors="replace")[-500:]
        raise TidecastError(f"the search failed with exit code {code}: {tail}")
    trials = _read(folder)
    on_trials(len(trials))
    return sorted(trials, key=lambda trial: trial.val_loss)


def _child(folder: Path, log: int) -> int:
    """Run the child until it ends; it ends too if this process is killed, because its standard input ends then."""
    command = child_command("trainer.tuning.child", str(folder))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as child:  # noqa: S603 - ourselves
        return child.wait()


def _read(folder: Path) -> list[Trial]:
    return list(SearchTrials.model_validate_json((folder / TRIALS).read_text()).trials)


def _digest(history: History, job: SearchJob) -> str:
    digest = hashlib.sha256(job.model_dump_json().encode())
    digest.update(history.series.encode())
    digest.update(history.ts.tobytes())
    digest.update(history.values.tobytes())
    return digest.hexdigest()[:16]


def _in_full(history: History, spec: Spec, learning_rate: float, settings: Settings) -> Trained:
    """Train and judge a spec as `train` does, in a temporary store."""
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        verdict = train([history], spec, _with_rate(settings, learning_rate), store)[0]
        if verdict.version is None or verdict.evidence is None:
            raise TidecastError(f"series {history.series!r} cannot be tuned: {verdict.reason}")
        header = store.load(history.series, verdict.version)[1].header
    if not header.network:
        raise TidecastError(f"series {history.series!r} cannot be tuned: {verdict.reason}")
    return Trained(
        spec=spec,
        learning_rate=learning_rate,
        val_loss=min(header.curves["val_loss"]),
        tail_mae=verdict.evidence.scores["model"].mae,
        tail_mae_last_value=verdict.evidence.scores["last_value"].mae,
    )
