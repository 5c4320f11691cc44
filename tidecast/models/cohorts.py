"""Cohorts: the series of one target and nearly one step, which share a network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Self, TypeVar

from tidecast.models.model import Header

SAME_STEP = 0.01  # of a cohort's step: a series whose step differs by more does not belong to it

Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort; it keeps its name and step while the measured steps of its series vary a little."""

    name: str
    target: str
    step_ms: float

    @classmethod
    def new(cls, target: str, step_ms: float) -> Self:
        """Name a new cohort after its target and step."""
        return cls(f"{target} every {step_ms / 1000:g} s", target, step_ms)

    @classmethod
    def of(cls, name: str, network: Header) -> Self:
        """Return the cohort that a network was trained for."""
        return cls(name, network.spec.target, network.step_ms)


def nearest_cohort(target: str, step_ms: float, cohorts: Iterable[Cohort]) -> Cohort | None:
    """Return the cohort with this target and the nearest step, or None without one within `SAME_STEP`."""
    near = [
        cohort
        for cohort in cohorts
        if cohort.target == target and abs(step_ms - cohort.step_ms) <= SAME_STEP * cohort.step_ms
    ]
    return min(near, key=lambda cohort: (abs(step_ms - cohort.step_ms), cohort.name), default=None)


def by_cohort(
    members: Iterable[Member], target_and_step: Callable[[Member], tuple[str, float]], known: Iterable[Cohort]
) -> dict[Cohort, list[Member]]:
    """Assign every series to its nearest cohort. Of series without a near one, that of the shortest step begins one.

    Args:
        members: the series.
        target_and_step: returns a series' target and its step in milliseconds.
        known: the cohorts that have a network.

    Returns:
        The members of each cohort, in the order of their steps.
    """
    cohorts = list(known)
    ordered = sorted(((target_and_step(member), member) for member in members), key=itemgetter(0))
    for key, _ in ordered:
        if nearest_cohort(*key, cohorts) is None:
            cohorts.append(Cohort.new(*key))
    groups: dict[Cohort, list[Member]] = {}
    for key, member in ordered:
        if cohort := nearest_cohort(*key, cohorts):
            groups.setdefault(cohort, []).append(member)
    return groups
