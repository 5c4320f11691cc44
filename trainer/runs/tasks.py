"""The work of a task: train and judge the series of a shard, or the network of a cohort."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from threadpoolctl import threadpool_limits

from tidecast.models.cohorts import Cohort
from tidecast.models.model import Model
from tidecast.models.storage import model_file
from tidecast.models.store import ModelStore
from trainer.candidate import Candidate, Screened, candidate_of
from trainer.fit.own_networks import Fit, fit_networks
from trainer.judgement import judged
from trainer.runs.job import Job
from trainer.runs.results import SeriesResult
from trainer.shared_networks import SharedNetwork, shared_by_series, trained_network
from trainer.verdict import Verdict

OnEpoch = Callable[[int, int], None]
Work = TypeVar("Work", bound=Callable[..., list[SeriesResult]])

# The last bits of a sum of products depend on the number of threads, and models would differ by machine. The matrices
# are small: on two busy cores, two threads took 10 to 15 times the processor time of one.
_one_thread: Callable[[Work], Work] = threadpool_limits.wrap(limits=1, user_api="blas")


@dataclass(frozen=True, slots=True)
class Workplace:
    """The means of a task.

    Attributes:
        job: of the run.
        store: of the models, which tasks only read.
        keep: writes the content of a model's file, and returns its digest.
        fit: trains the prepared series, as `fit_networks` does.
        on_epoch: called after each epoch with its number and the number of series that still train.
    """

    job: Job
    store: ModelStore
    keep: Callable[[bytes], str]
    fit: Callable[..., list[Fit]] = fit_networks
    on_epoch: OnEpoch | None = None


@_one_thread
def train_series(members: Sequence[Screened], networks: Mapping[Cohort, Model], place: Workplace) -> list[SeriesResult]:
    """Train and judge a model for each series; keep its file.

    Args:
        members: the series of a shard.
        networks: of the cohorts.
        place: the means.

    Returns:
        The results, in the order of the series.
    """
    job = place.job
    prepared = [candidate_of(member, job.settings, place.store, job.season) for member in members]
    candidates = [candidate for candidate in prepared if isinstance(candidate, Candidate)]
    shared = shared_by_series([candidate.training_set for candidate in candidates], networks)
    fits = _fits(candidates, place)
    return [
        SeriesResult(each) if isinstance(each, Verdict) else _result(each, fits.get(each.series), shared, place)
        for each in prepared
    ]


@_one_thread
def train_cohort(
    cohort: Cohort, members: Sequence[Screened], champion: Model | None, place: Workplace
) -> list[SeriesResult]:
    """Train and compare the network of a cohort; keep its file.

    Args:
        cohort: the cohort.
        members: the series that represent it.
        champion: its present network.
        place: the means.

    Returns:
        One result, or an empty list if no new network was trained.
    """
    job = place.job
    prepared = [candidate_of(member, job.settings, place.store, job.season) for member in members]
    sets = [candidate.training_set for candidate in prepared if isinstance(candidate, Candidate)]
    trained = trained_network(cohort, sets, champion, job.settings, job.created_ms)
    if trained is None:
        return []
    evidence = trained.model.header.evidence
    verdict = Verdict(cohort.name, "trained" if trained.promote else "refused", evidence.verdict, evidence=evidence)
    return [SeriesResult(verdict, place.keep(model_file.encode(trained.model)), trained.promote)]


def _result(
    candidate: Candidate, fitted: Fit | None, shared: Mapping[str, SharedNetwork], place: Workplace
) -> SeriesResult:
    network = shared.get(candidate.series)
    verdict, model, promote = judged(candidate, fitted, network, place.job.settings, place.store, place.job.created_ms)
    return SeriesResult(
        verdict, place.keep(model_file.encode(model)) if model else None, promote, candidate.champion_was
    )


def _fits(candidates: Sequence[Candidate], place: Workplace) -> dict[str, Fit]:
    """Train the networks of the same inputs together, each from its champion's weights if they fit."""
    able = [candidate for candidate in candidates if candidate.training_set.without_network is None]
    fits: dict[str, Fit] = {}
    # Which inputs known ahead help a series was chosen here, so a shard may hold networks of several shapes.
    for _, group in groupby(sorted(able, key=_channels), _channels):
        alike = list(group)
        problems = [each.training_set.problem(each.parent and each.parent[1].weights) for each in alike]
        is_last = len(fits) + len(alike) == len(able)
        on_epoch = place.on_epoch if is_last else None  # the epochs of one group: the progress must not go back
        fitted = place.fit(problems, alike[0].training_set.spec, place.job.settings.train, on_epoch=on_epoch)
        fits |= dict(zip([each.series for each in alike], fitted, strict=True))
    return fits


def _channels(candidate: Candidate) -> int:
    return candidate.training_set.spec.channels
