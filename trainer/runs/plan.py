"""The plan of a run: its shards, and the series that are not trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Self

from tidecast.files.history import History
from tidecast.models.cohorts import Cohort
from tidecast.models.store import ModelStore
from trainer.candidate import Screened, screened
from trainer.runs.job import Job
from trainer.runs.results import verdict_from
from trainer.runs.shard import Shard
from trainer.shared_networks import cohorts_of, networks_in
from trainer.verdict import Verdict

SERIES = 128  # of a shard: an interruption loses the work on at most one shard of each process

KeepPart = Callable[[Sequence[Screened]], str]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The shards of a run.

    Attributes:
        verdicts: on the series that are not trained.
        cohorts: a shard for each network that may be trained, before the series.
        series: the shards of the series.
        names: by part, the names of its series.
    """

    verdicts: Sequence[Verdict]
    cohorts: Sequence[Shard]
    series: Sequence[Shard]
    names: Mapping[str, Sequence[str]]

    def names_of(self, shard: Shard) -> Sequence[str]:
        """Return the names of a shard's series."""
        return self.names[shard.part][shard.start : shard.stop]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a dict that JSON can encode."""
        return {
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
            "cohorts": [shard.as_dict() for shard in self.cohorts],
            "series": [shard.as_dict() for shard in self.series],
            "names": {part: list(names) for part, names in self.names.items()},
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the plan of `as_dict`."""
        return cls(
            [verdict_from(each) for each in fields["verdicts"]],
            [Shard.from_dict(each) for each in fields["cohorts"]],
            [Shard.from_dict(each) for each in fields["series"]],
            fields["names"],
        )


def plan_of(
    histories: Sequence[History], job: Job, store: ModelStore, keep: KeepPart, *, force: bool, train_cohorts: bool
) -> RunPlan:
    """Screen series, and divide those that are to be trained into shards.

    Args:
        histories: of the series.
        job: of the run.
        store: of the models.
        keep: keeps the series of a shard for its task, and returns the id of the part.
        force: train series even if they were trained on the same readings.
        train_cohorts: whether to plan the training of the cohorts' networks.
    """
    results = [screened(history, job.spec, job.settings, store, job.season, force=force) for history in histories]
    members = {each.history.series: each for each in results if isinstance(each, Screened)}
    names: dict[str, list[str]] = {}

    def shard(shard_id: str, group: Sequence[Screened], cohort: Cohort | None = None) -> Shard:
        part = keep(group)
        names[part] = [member.history.series for member in group]
        return Shard(shard_id, part, 0, len(group), cohort)

    cohorts = []
    if train_cohorts and job.settings.train.shared_epochs:
        able = cohorts_of([member.history for member in members.values()], networks_in(store))
        for at, (cohort, chosen) in enumerate(able.items()):
            cohorts.append(shard(f"cohort-{at}", [members[history.series] for history in chosen], cohort))
    series = [shard(str(at), group) for at, group in enumerate(_groups(list(members.values())))]
    return RunPlan([each for each in results if isinstance(each, Verdict)], cohorts, series, names)


def _groups(members: Sequence[Screened]) -> Iterator[list[Screened]]:
    """Yield series to train together: with as many inputs, and of similar lengths to waste little padding."""
    ordered = sorted(members, key=lambda member: (member.spec.channels, len(member.history)))
    for _, alike in groupby(ordered, lambda member: member.spec.channels):
        while group := list(islice(alike, SERIES)):
            yield group
