"""The series that are due, and their order."""

from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.models.model import Evidence, Header, Scores
from tidecast.settings import RetrainSettings
from trainer.retrain.priority import AGES, ERRORS, DueSeries, Facts, due_series

SETTINGS = RetrainSettings(min_history=200, min_new=50)


def header(knows: int, mae: float = 1.0, **changed: Any) -> Header:
    """Return the header of a version made from the first `knows` readings."""
    evidence = Evidence(
        rows=10, season=None, scores={"model": Scores(mae=mae, rmse=mae)}, skill=0.5, verdict="published"
    )
    return make_model("s", span=(0, knows - 1), evidence=evidence, **changed).header


def facts(series: str, readings: int, **known: Any) -> Facts:
    """Return a series with a reading each millisecond."""
    return Facts(series, np.arange(readings), **known)


def names(due: list[DueSeries]) -> list[str]:
    """Return the series' names in their order."""
    return [each.series for each in due]


def test_series_without_a_champion_come_first_those_with_most_readings_before_the_others() -> None:
    """Those with too few readings are left out."""
    given = [facts("a", 250), facts("b", 900), facts("young", 199), facts("c", 5000, champion=header(1000))]
    assert ["b", "a", "c"] == names(due_series(given, SETTINGS))


@pytest.mark.parametrize(("unseen", "expected"), [(49, []), (50, ["s"])])
def test_a_champion_is_due_once_enough_readings_are_new_to_it(unseen: int, expected: list[str]) -> None:
    """Counted from the end of its span."""
    assert expected == names(due_series([facts("s", 1000 + unseen, champion=header(1000))], SETTINGS))


@pytest.mark.parametrize("champion", [header(1000), None])
def test_after_a_version_that_lost_or_was_rolled_back_a_series_waits_for_new_readings(champion: Header | None) -> None:
    """Those that are newer than the lost version's: it is tried again, but not on the same readings."""
    known = {"champion": champion, "newest": header(1200)}
    assert [] == due_series([facts("s", 1249, **known)], SETTINGS)
    assert ["s"] == names(due_series([facts("s", 1250, **known)], SETTINGS))


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"drifts": 1}, {}),
        ({"error": 2.0}, {}),
        ({"error": 2.0}, {"error": 1.0}),
        ({}, {"error": 0.6}),
        ({"drifts": 2, "error": 3.0}, {"drifts": 1, "error": 3.0}),
    ],
)
def test_drift_and_errors_beyond_its_evidence_bring_a_champion_forward(more: Any, less: Any) -> None:
    """Whatever their names."""
    given = [facts("a", 1100, champion=header(1000), **less), facts("b", 1100, champion=header(1000), **more)]
    assert ["b", "a"] == names(due_series(given, SETTINGS))


def test_the_older_champion_comes_first() -> None:
    """The order is by the share of unseen readings; readings that left the stream count as seen."""
    given = [facts("a", 1100, champion=header(1000)), facts("b", 1100, champion=header(900))]
    assert ["b", "a"] == names(due_series(given, SETTINGS))
    trimmed = facts("a", 1100, champion=header(900, training={"examples": 9000, "validation_examples": 1000}))
    assert ["b", "a"] == names(due_series([trimmed, given[1]], SETTINGS))


@pytest.mark.parametrize("mae", [0.0, 1e-300, 1.0, 1e300])
@pytest.mark.parametrize("error", [None, 0.0, 1e-300, 1e300])
@pytest.mark.parametrize("drifts", [0, 10**6])
def test_no_factor_decides_alone(mae: float, error: float | None, drifts: int) -> None:
    """Whatever the figures: the value is finite, above zero and within its bounds."""
    (first,) = due_series([facts("s", 1100, champion=header(1000, mae), drifts=drifts, error=error)], SETTINGS)
    assert ERRORS[0] * AGES[0] <= first.value <= 4 * ERRORS[1] * AGES[1]


def test_series_that_were_asked_for_are_due_whatever_is_new_to_them() -> None:
    """No others are."""
    given = [facts("a", 1000, champion=header(1000)), facts("young", 50), facts("b", 1100, champion=header(1000))]
    assert ["young", "a"] == names(due_series(given, SETTINGS, ["a", "young", "unknown"]))


def test_the_order_does_not_depend_on_that_of_the_facts() -> None:
    """Equal values go by readings, then by name."""
    given = [facts(name, 1100, champion=header(1000)) for name in "cab"]
    assert ["a", "b", "c"] == names(due_series(given, SETTINGS)) == names(due_series(given[::-1], SETTINGS))
