"""The child process of a search: runs Keras Tuner's trials until all are done or memory use is too high."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tidecast.files.history import History
from tidecast.models.spec import Spec
from trainer.fit.backend import keras, lean_imports
from trainer.fit.keras_models import build
from trainer.fit.own_networks import Problem
from trainer.fit.training_set import TrainingSet, prepare
from trainer.parent import end_with_parent
from trainer.tuning.tune import AGAIN, DATA, JOB, TRIALS, SearchJob, SearchTrials, Trial

with lean_imports():
    import keras_tuner

MAX_MB = 1400  # of resident memory: above this the process ends, whatever the number of its trials

WINDOWS = (12, 24, 36, 48)
UNITS = (16, 32, 50, 64)


class Network(keras_tuner.HyperModel):  # type: ignore[misc] # the library is untyped
    """The search space on one history: architecture, width, window and learning rate."""

    def __init__(self, history: History, job: SearchJob) -> None:
        super().__init__()
        self._job = job
        self._sets = dict(_training_sets(history, job))
        self._problems: dict[int, Problem] = {}

    def spec(self, hp: Any) -> Spec:
        """Return the spec of a trial's hyperparameters."""
        return Spec(
            target=self._job.features[0],
            features=self._job.features,
            window=hp.Choice("window", tuple(self._sets), default=24),
            units=hp.Choice("units", UNITS, default=50),
            layers=hp.Int("layers", 1, 3, default=1),
            bidirectional=hp.Boolean("bidirectional", default=False),
            activation=hp.Choice("activation", ["tanh", "relu"], default="tanh"),
        )

    def build(self, hp: Any) -> Any:
        """Build a trial's network, ready to fit; its random numbers do not depend on the trials before it."""
        keras.utils.set_random_seed(self._job.train.seed)
        spec = self.spec(hp)
        rate = hp.Float("learning_rate", 5e-4, 1e-2, sampling="log", default=self._job.train.learning_rate)
        network = build(spec)
        network.compile(optimizer=keras.optimizers.Adam(rate), loss=spec.loss)
        return network

    def fit(self, hp: Any, model: Any, *_: Any, **options: Any) -> Any:
        """Train on the oldest part and judge on the validation part; the tail is not used."""
        problem = self.problem(self.spec(hp))
        return model.fit(
            problem.x,
            problem.y,
            validation_data=(problem.x_val, problem.y_val),
            batch_size=self._job.train.batch,
            verbose=0,
            **{name: value for name, value in options.items() if name in ("callbacks", "epochs", "initial_epoch")},
        )

    def problem(self, spec: Spec) -> Problem:
        """Return the examples to train on and to stop by, prepared once for each window."""
        if spec.window not in self._problems:
            self._problems[spec.window] = self._sets[spec.window].problem()
        return self._problems[spec.window]


def _training_sets(history: History, job: SearchJob) -> Iterator[tuple[int, TrainingSet]]:
    """Yield the windows to try, each with the history prepared for it; skip those that fit nowhere between long gaps.

    The default one is never skipped: it was trained before the search.
    """
    for window in WINDOWS:
        spec = Spec(target=job.features[0], features=job.features, window=window)
        training_set = prepare(history, spec, job.train, job.max_gap)
        if isinstance(training_set, TrainingSet) and training_set.without_network is None:
            yield window, training_set


class Search(keras_tuner.Hyperband):  # type: ignore[misc] # the library is untyped
    """A Hyperband search that writes its table of trials and ends the process when its memory use is too high."""

    finished = 0
    at_most = 1

    def on_trial_end(self, trial: Any) -> None:
        """Save the trial; end the process after enough trials or at too much memory."""
        super().on_trial_end(trial)
        self.finished += 1
        self.write()
        keras.backend.clear_session()
        if self.finished >= self.at_most or psutil.Process().memory_info().rss > MAX_MB * 2**20:
            sys.exit(AGAIN)

    def write(self) -> None:
        """Write all finished trials to the file that the parent reads."""
        done = [t for t in self.oracle.trials.values() if t.status == "COMPLETED"]
        table = SearchTrials(trials=tuple(self._row(trial) for trial in done))
        temporary = Path(self.directory) / f"{TRIALS}.new"
        temporary.write_text(table.model_dump_json())
        temporary.replace(Path(self.directory) / TRIALS)

    def _row(self, trial: Any) -> Trial:
        values = trial.hyperparameters
        return Trial(
            spec=self.hypermodel.spec(values),
            learning_rate=values.get("learning_rate"),
            epochs=values.get("tuner/epochs"),
            val_loss=float(trial.score),
        )


def main(folder: Path) -> None:
    """Run a search's trials; exit with code 0 when all are done, with AGAIN when more remain."""
    job = SearchJob.model_validate_json((folder / JOB).read_text())
    with np.load(folder / DATA) as data:
        history = History("tuned", job.features, data["ts"], data["values"], left_out=data["left_out"])
    search = Search(
        Network(history, job),
        objective="val_loss",
        max_epochs=job.epochs,
        factor=3,
        seed=job.train.seed,
        directory=str(folder),
        project_name="trials",
        overwrite=False,
        max_consecutive_failed_trials=5,
    )
    search.at_most = job.trials_a_child
    search.search(callbacks=[keras.callbacks.EarlyStopping(patience=job.train.patience)], verbose=0)
    search.write()


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
