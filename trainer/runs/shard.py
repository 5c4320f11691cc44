"""Shards: the units of work of a training run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tidecast.models.cohorts import Cohort


@dataclass(frozen=True, slots=True)
class Shard:
    """Some series that one task trains together, or a cohort whose network it trains.

    Attributes:
        id: unique within the run.
        part: the id of the part of the histories that holds the series.
        start: the first series of that part.
        stop: the series behind the last one.
        cohort: whose network is trained; None: each series' own model.
    """

    id: str
    part: str
    start: int
    stop: int
    cohort: Cohort | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def halves(self) -> tuple["Shard", "Shard"]:
        """Return the two halves of a shard of several series."""
        middle = (self.start + self.stop) // 2
        return replace(self, id=f"{self.id}a", stop=middle), replace(self, id=f"{self.id}b", start=middle)

    def as_dict(self) -> dict[str, Any]:
        """Return the shard as a dict that JSON can encode."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the shard of `as_dict`."""
        cohort = fields["cohort"]
        return cls(**{**fields, "cohort": Cohort(**cohort) if cohort else None})
