"""The search: a child process that may end and go on, a choice by the validation part alone."""

import os
import resource
import select
import subprocess
import sys
import warnings
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from tests.harness.namesakes import OTHERS, OURS, lay_traps
from tidecast.cli.commands.training.train import NetworkOptions
from tidecast.errors import StoreError, TidecastError
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.settings import Settings, load_settings
from trainer.data.source import Source
from trainer.main import TrainJob, _shape
from trainer.tuning import tune
from trainer.tuning.tune import Trained, Trial, Tuned, read_tuned

SPEC = {"window": 12, "units": 16}
SMALL = 5  # a seed whose two trials have one layer and one direction: most of the time is their tracing
TRAIN = {"epochs": 2, "seed": SMALL}


def history(readings: int = 160) -> History:
    """Return a short daily wave with noise."""
    t = np.arange(readings)
    values = np.sin(t / 4) + 0.1 * np.random.default_rng(0).normal(size=readings)
    return History("wave", ("value",), 3_600_000 * t.astype(np.int64), values[:, None])


@dataclass(frozen=True, slots=True)
class Search:
    """A search whose children ended early, and what a test checks of it.

    Attributes:
        settings: of the training and the store.
        tuned: the result.
        trials: all of them, the best first.
        codes: the exit codes of its children.
        grown: the numbers of trials that it reported.
        namesakes: the directory in which its first child was started.
    """

    settings: Settings
    tuned: Tuned
    trials: list[Trial]
    codes: list[int]
    grown: list[int]
    namesakes: Path


def run_here(folder: Path, _log: int = 0) -> int:
    """Run the child's program in this process, which has imported TensorFlow; return its exit code."""
    from trainer.tuning import child  # here, as it imports TensorFlow: seconds for each process that collects

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Keras Tuner, which a process of its own does not show
        try:
            child.main(folder)
        except SystemExit as exc:
            return int(exc.code or 0)
    return 0


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """Run a search whose children end after each trial: the first is a process, among files of our modules' names."""
    codes: list[int] = []
    grown: list[int] = []
    run_child = tune._child
    namesakes = tmp_path_factory.mktemp("namesakes")
    lay_traps(namesakes, (*OURS, *OTHERS, "keras_tuner.py"))

    def recorded(folder: Path, log: int) -> int:
        if codes:
            codes.append(run_here(folder))
        else:
            with chdir(namesakes):
                codes.append(run_child(folder, log))
        return codes[-1]

    with mock.patch.object(tune, "_child", recorded), mock.patch.object(tune, "TRIALS_A_CHILD", 1):
        settings = load_settings(store=tmp_path_factory.mktemp("search"), train=TRAIN)
        tuned, trials = tune.tune(history(), settings, 2, grown.append)
    return Search(settings, tuned, trials, codes, grown, namesakes)


def test_a_search_goes_on_after_its_child_ends_and_leaves_its_choice_to_train(interrupted: Search) -> None:
    """Children that end early lose no trial; the choice is by the validation part; train uses it."""
    tuned = interrupted.tuned
    trials = interrupted.trials
    assert [tune.AGAIN, 0] == interrupted.codes[-2:]
    assert len(trials) == interrupted.grown[-1] > 0
    assert sorted(trials, key=lambda trial: trial.val_loss) == trials
    assert tuned.chosen.val_loss <= tuned.default.val_loss
    assert tuned == read_tuned(interrupted.settings.store)
    spec, trained = _shape(TrainJob(Source()), interrupted.settings)
    assert (tuned.chosen.spec, tuned.chosen.learning_rate) == (spec, trained.train.learning_rate)


def test_the_same_seed_makes_the_same_trials_and_writes_the_same_bytes(interrupted: Search, tmp_path: Path) -> None:
    """A search can be repeated, and its result does not depend on how often its child ended."""
    settings = load_settings(store=tmp_path, train=TRAIN)
    with mock.patch.object(tune, "_child", run_here):
        trials = tune.tune(history(), settings, 2, lambda _: None)[1]
    assert interrupted.trials == trials
    first, again = ((each.store / tune.TUNED).read_bytes() for each in (interrupted.settings, settings))
    assert first == again


def test_the_child_that_tunes_is_ours_in_a_directory_full_of_namesakes(interrupted: Search) -> None:
    """It has made its trials, and imported none of the files there."""
    assert tune.AGAIN == interrupted.codes[0]
    assert not list(interrupted.namesakes.rglob("imported"))


def test_the_child_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    """It would go on for hours, and the next command would start another one in the same folder."""
    os.mkfifo(tmp_path / tune.JOB)  # the child waits for its job
    # In place of the library, whose import takes seconds of a core: the child finds installed packages before others.
    stand_in = "types.SimpleNamespace(HyperModel=object, Hyperband=object)"
    (tmp_path / "sitecustomize.py").write_text(f"import sys, types\nsys.modules['keras_tuner'] = {stand_in}\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = "import sys; from pathlib import Path; from trainer.tuning import tune; tune._child(Path(sys.argv[1]), 2)"
    with (
        subprocess.Popen([sys.executable, "-c", command, str(tmp_path)], env=environment) as parent,
        (tmp_path / tune.JOB).open("wb", buffering=0) as job,  # opens when the child does
    ):
        parent.kill()
        parent.wait()
        reader = select.poll()
        reader.register(job, select.POLLERR)
        assert reader.poll(60_000), "the child still waits for its job"


def test_a_history_too_short_for_a_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The other experts can be trained, but there is nothing to tune."""
    with pytest.raises(TidecastError, match=r"series 'wave' cannot be tuned: .*too few readings for a network"):
        tune.tune(history(100), load_settings(store=tmp_path), 2, lambda _: None)


def test_a_shape_that_is_asked_for_wins_over_a_search(tmp_path: Path) -> None:
    """`--units 7` means 7, whatever was tuned, and `--preset default` the default shape."""
    some = Trained(spec=SPEC, learning_rate=0.5, val_loss=1, tail_mae=1, tail_mae_last_value=1)  # type: ignore[arg-type] # pydantic reads a mapping
    (tmp_path / tune.TUNED).write_text(Tuned(series="a", chosen=some, default=some).model_dump_json())
    settings = load_settings(store=tmp_path)
    spec, unchanged = _shape(TrainJob(Source(), shape=NetworkOptions(units=7).shape()), settings)
    assert (7, 24, settings) == (spec.units, spec.window, unchanged)
    assert (Spec(), settings) == _shape(TrainJob(Source(), shape=NetworkOptions(preset="default").shape()), settings)
    spec, changed = _shape(TrainJob(Source(), shape=NetworkOptions().shape()), settings)
    assert (16, 12, 0.5) == (spec.units, spec.window, changed.train.learning_rate)


def test_a_damaged_choice_is_one_sentence(tmp_path: Path) -> None:
    """The message names the file and the remedy."""
    for content in (b"{}", b"\xff", b""):
        (tmp_path / tune.TUNED).write_bytes(content)
        with pytest.raises(StoreError, match="tune again, or delete it"):
            read_tuned(tmp_path)


def test_a_choice_that_cannot_be_saved_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file on a full disk would stop every later training with this store."""
    settings = load_settings(store=tmp_path)
    some = Trained(spec=SPEC, learning_rate=0.5, val_loss=1, tail_mae=1, tail_mae_last_value=1)  # type: ignore[arg-type] # pydantic reads a mapping
    trial = Trial(spec=some.spec, learning_rate=0.5, epochs=2, val_loss=1)
    monkeypatch.setattr(tune, "_in_full", lambda *_: some)
    monkeypatch.setattr(tune, "_search", lambda *_: [trial])
    former, _ = tune.tune(history(), settings, 2, lambda _: None)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # a file ends after ten bytes, as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            tune.tune(replace(history(), series="other"), settings, 2, lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert former == read_tuned(tmp_path)


def test_only_windows_that_fit_between_long_gaps_are_tried() -> None:
    """A trial without an example fails, and several in a row end the search."""
    import keras_tuner  # here, as it imports TensorFlow: seconds for each process that collects

    from trainer.tuning.child import Network

    whole = history(600)
    t = np.arange(600)
    in_shifts = replace(whole, ts=3_600_000 * (t + 10 * (t // 30)))  # 30 hours each, with 10 hours between them
    job = tune.SearchJob(features=("value",), train=load_settings().train, max_gap=3, epochs=2, trials_a_child=1)
    tried = []
    for given in (whole, in_shifts):
        hyperparameters = keras_tuner.HyperParameters()
        Network(given, job).spec(hyperparameters)
        tried.append(hyperparameters.space[0].values)
    assert tried == [[12, 24, 36, 48], [12, 24]]


def test_the_searchs_data_end_where_the_tail_begins() -> None:
    """Changing the tail changes nothing that a trial sees."""
    from trainer.tuning.child import Network  # here, for the same reason as above

    original = history()
    values = np.where(np.arange(160)[:, None] < 128, original.values, 99.0)
    other = History(original.series, original.features, original.ts, values)
    job = tune.SearchJob(features=("value",), train=load_settings().train, max_gap=3, epochs=2, trials_a_child=1)
    spec = tune.Spec(window=12)
    seen = [Network(h, job).problem(spec) for h in (original, other)]
    for a, b in zip(
        (seen[0].x, seen[0].y, seen[0].x_val, seen[0].y_val),
        (seen[1].x, seen[1].y, seen[1].x_val, seen[1].y_val),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
