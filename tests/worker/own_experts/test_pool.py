"""Experts of the users' own in a real child process: their answers, and what happens when they fail."""

import os
import signal
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.harness.patience import until
from tidecast.models.own_model import OwnModel
from tidecast.online.own_experts import OwnCall, OwnFailure
from tidecast.settings import ExpertSettings
from worker.own_experts.pool import PAUSES_S, ExpertPool

CODE = """
import os, time
import numpy as np

class Twice:
    rows = 2
    def fit(self, windows, targets): pass
    def predict(self, windows): return 2 * windows[:, -1, 0]
    def state(self): return b""
    def restore(self, state): self.state_ = state

class Raises(Twice):
    def predict(self, windows): raise ValueError("no answer")

class Hangs(Twice):
    def predict(self, windows): time.sleep(600)

class Nan(Twice):
    def predict(self, windows): return np.full(len(windows), np.nan)

class Hungry(Twice):
    def predict(self, windows):
        kept = []
        while True: kept.append(np.ones(10_000_000))

class Dies(Twice):
    def predict(self, windows): os._exit(3)

class Counts(Twice):
    def update(self, window): self.seen = getattr(self, "seen", 0) + 1
    def predict(self, windows): return np.full(len(windows), float(self.seen))

class Prints(Twice):
    def predict(self, windows):
        print("hello", flush=True)
        return super().predict(windows)
"""
Clock = Callable[[], float]


class Now:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.s


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with good and bad experts."""
    path = tmp_path / "experts.py"
    path.write_text(textwrap.dedent(CODE))
    return path


@pytest.fixture
def now() -> Now:
    """Return a clock."""
    return Now()


@pytest.fixture
def pool(now: Now) -> Iterator[ExpertPool]:
    """Return a pool that waits long for each answer, since the machine may be busy."""
    pool = ExpertPool(ExpertSettings(patience="30s", per_batch="60s", memory="512MB"), now)
    yield pool
    pool.close()


def call(file: Path, name: str, series: str = "a", values: tuple[float, ...] = (1.0, 2.0)) -> OwnCall:
    """Return a call of an expert of the file with one window."""
    return OwnCall(series, 1, OwnModel(f"{file}:{name}", 2, b""), np.array(values).reshape(1, 2, 1))


def answered(pool: ExpertPool, *calls: OwnCall) -> tuple[list[float], list[OwnFailure]]:
    """Return the first answers or failures once the process is ready and the experts are loaded."""
    failures: list[OwnFailure] = []
    answers: list[float] = []

    def has_answered() -> bool:
        forecasts, failed = pool.forecast(calls)
        failures.extend(failed)
        answers[:] = [float(forecast[0]) for forecast in forecasts]
        known = {failure.series for failure in failures}
        return all(np.isfinite(answer) or each.series in known for answer, each in zip(answers, calls, strict=True))

    until(has_answered)
    return answers, failures


def test_an_expert_answers_from_its_newest_row(pool: ExpertPool, file: Path) -> None:
    """Each series has its own expert, and all answer in one call."""
    assert ([4.0, 10.0], []) == answered(pool, call(file, "Twice"), call(file, "Twice", "b", (4.0, 5.0)))
    assert pool.usage.calls >= 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "ValueError: no answer"),
        ("Nan", "returned NaN"),
        ("Hungry", "MemoryError"),
        ("Dies", "the process of its expert ended with 3"),
        ("Missing", "has no class or function 'Missing'"),
    ],
)
def test_an_expert_that_fails_is_left_out_for_a_while_and_the_others_answer(
    pool: ExpertPool, file: Path, now: Now, name: str, reason: str
) -> None:
    """Its failure has a reason; after the pause it is tried again, and the next pause is longer."""
    good = call(file, "Twice", "good")
    bad = call(file, name, "bad")
    _, failures = answered(pool, bad, good)
    assert reason in failures[0].reason
    assert "1m" in failures[0].reason
    (forecasts, more) = pool.forecast([bad, good])
    assert np.isnan(forecasts[0]).all()
    assert more == []
    assert ([4.0], []) == answered(pool, good)
    now.s += PAUSES_S[0]
    _, failures = answered(pool, bad)
    assert "2m" in failures[0].reason


def test_an_expert_that_hangs_costs_its_patience_once(file: Path, now: Now) -> None:
    """Its process is killed; the others answer in a new one."""
    pool = ExpertPool(ExpertSettings(patience="50ms", per_batch="60s", memory="512MB"), now)
    try:
        hanging = call(file, "Hangs", "bad")
        _, failures = answered(pool, hanging)
        assert "took longer than 50ms" in failures[0].reason
        assert np.isnan(pool.forecast([hanging])[0][0]).all()
    finally:
        pool.close()


def test_an_expert_can_learn_from_each_reading(pool: ExpertPool, file: Path) -> None:
    """`update` gets every window before its forecast."""
    counting = call(file, "Counts")
    (first,), _ = answered(pool, counting)
    twice = OwnCall("a", 1, counting.model, np.ones((2, 2, 1)))
    assert [[first + 1, first + 2]] == [forecast.tolist() for forecast in pool.forecast([twice])[0]]


def test_a_new_version_is_loaded_anew(pool: ExpertPool, file: Path) -> None:
    """The former version does not answer for it."""
    answered(pool, call(file, "Twice"))
    newer = OwnCall("a", 2, OwnModel(f"{file}:Counts", 2, b""), np.ones((1, 2, 1)))
    assert answered(pool, newer)[0] == [1.0]


def test_what_an_expert_prints_does_not_disturb_the_answers(pool: ExpertPool, file: Path) -> None:
    """It goes to the log."""
    assert answered(pool, call(file, "Prints"))[0] == [4.0]


def test_a_killed_process_is_started_again(pool: ExpertPool, file: Path) -> None:
    """The expert that was called counts as failed; the others answer in a new process."""
    answered(pool, call(file, "Twice"))
    child = pool._process
    assert child is not None
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    _, failures = answered(pool, call(file, "Twice"))
    assert "ended with -9" in failures[0].reason
    assert answered(pool, call(file, "Twice", "b"))[0] == [4.0]
