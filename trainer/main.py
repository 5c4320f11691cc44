"""The `train` command: reads files, shows a progress bar and prints a table of verdicts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from tidecast.errors import HistoryError, SettingsError
from tidecast.files.history import Histories, read_history
from tidecast.files.layout import NONE
from tidecast.files.refusal import print_notes
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder, table_of
from tidecast.progress import progress
from tidecast.settings import Settings
from tidecast.settings.errors import option_sentence
from trainer.data.recorded import RecordedQuery, check_sent, read_recorded
from trainer.fit.seasonality import check_season, check_season_fits
from trainer.pipeline import TrainOptions, train
from trainer.tuning.tune import tuned_or_default
from trainer.verdict import Verdict

REFUSALS = ("too short", "constant", "refused")


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recorded readings to train on: those since a time, and optionally those of an archive."""

    since_ms: int | None = None  # epoch milliseconds; None: from the oldest
    history: Path | None = None  # the archive's directory


@dataclass(frozen=True, slots=True)
class TrainJob:
    """The data and options of a training run; `shape` holds the fields of the spec that differ from the defaults."""

    sources: tuple[str, ...]
    recorded: Recorded | None = None  # instead of sources
    target: str | None = None
    features: tuple[str, ...] = ()
    series_column: str | None = None
    time_zone: str | None = None
    season: int | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    dry_run: bool = False


def run(job: TrainJob, settings: Settings, *, as_json: bool) -> bool:
    """Train and print a verdict for each series; return False if any series could not be trained.

    Raises:
        SettingsError: an option is out of range.
        HistoryError: a file cannot be read, or no reading was recorded.
    """
    check_season(job.season, "--season")
    check_folder("the store", settings.store)
    spec, settings = _shape(job, settings)
    histories = _read(job, settings)
    check_season_fits(job.season, max(map(len, histories.accepted), default=0), "--season")
    print_notes(histories.all_notes)
    verdicts = [Verdict(refusal.series, "refused", refusal.reason) for refusal in histories.refused]
    if job.dry_run:
        verdicts += [Verdict(h.series, "readable", f"{len(h)} readings") for h in histories.accepted]
    else:
        verdicts += _train(job, histories, spec, settings)
    _print(verdicts, as_json=as_json)
    return not any(verdict.status in REFUSALS for verdict in verdicts)


def _read(job: TrainJob, settings: Settings) -> Histories:
    if job.recorded is None:
        return read_history(
            job.sources,
            target=job.target,
            features=job.features,
            series_column=job.series_column,
            time_zone=job.time_zone,
            likely_target=settings.series.target,
        )
    features = () if job.features == (NONE,) else job.features
    recorded = job.recorded
    query = RecordedQuery(since_ms=recorded.since_ms, target=job.target, features=features, archive=recorded.history)
    histories = read_recorded(settings, query)
    if not histories.accepted:
        if histories.notes:
            why = "; ".join(histories.notes)
            raise HistoryError(f"nothing recorded can be used ({why}): name a field of the readings with --target")
        why = "no worker has answered a reading of that time"
        raise HistoryError(f"nothing is recorded ({why}): start a worker, or reach further back with --since")
    check_sent(features, histories)
    return histories


def _train(job: TrainJob, histories: Histories, spec: Spec, settings: Settings) -> list[Verdict]:
    with progress("training", "series", len(histories.accepted)) as report_progress:
        options = TrainOptions(season=job.season, force=job.force, progress=report_progress)
        return train(histories.accepted, spec, settings, ModelStore(settings.store), options)


def _shape(job: TrainJob, settings: Settings) -> tuple[Spec, Settings]:
    """Return the spec to train: the requested one, else the tuned one of this store, else the default."""
    if not job.shape:
        return tuned_or_default(settings)
    try:
        return Spec(**job.shape), settings
    except ValidationError as exc:
        raise SettingsError(option_sentence(exc, Spec)) from exc


def _print(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([verdict.as_dict() for verdict in verdicts], indent=1))  # noqa: T201 - the answer
        return
    table = table_of("series", "verdict", "version", "skill", "why", texts=("series", "verdict", "why"))
    for verdict in verdicts:
        skill = f"{verdict.evidence.skill:.3f}" if verdict.evidence else ""
        table.add_row(verdict.series, verdict.status, str(verdict.version or ""), skill, verdict.reason)
    Console().print(table)
