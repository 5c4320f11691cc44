"""The work of a task."""

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tidecast.models.cohorts import Cohort
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.runs import tasks
from trainer.runs.job import Job
from trainer.runs.tasks import Workplace, train_cohort, train_series


def _threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_task_computes_on_one_thread_of_blas(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a model must not depend on the cores of the machine that trains it."""
    seen: list[set[int]] = []
    place = Workplace(Job(Spec(), settings, None, 0), store, lambda content: content.hex())
    monkeypatch.setattr(tasks, "trained_network", lambda *_: seen.append(_threads()))
    monkeypatch.setattr(tasks, "shared_by_series", lambda *_: seen.append(_threads()) or {})
    with threadpool_limits(2, "blas"):
        train_cohort(Cohort.new("value", 60_000.0), [], None, place)
        train_series([], {}, place)
        assert _threads() == {2}
    assert seen == [{1}, {1}]
