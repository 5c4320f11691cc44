"""The `train` command: reads files, shows a progress bar and prints a table of verdicts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from tidecast.errors import SettingsError
from tidecast.files.history import Histories, counted
from tidecast.files.refusal import print_notes
from tidecast.log import begin_log
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder, table_of
from tidecast.progress import progress
from tidecast.settings import Settings
from tidecast.settings.errors import option_sentence
from trainer.data.source import Source, read_source
from trainer.fit.seasonality import check_season, check_season_fits
from trainer.pipeline import TrainOptions, train
from trainer.tuning.tune import tuned_or_default
from trainer.verdict import Verdict

REFUSALS = ("too short", "constant", "refused")


@dataclass(frozen=True, slots=True)
class TrainJob:
    """The data and options of a training run."""

    source: Source
    season: int | None = None
    shape: Mapping[str, Any] | None = None  # the fields of the spec that differ from the defaults; None: none is named
    force: bool = False
    dry_run: bool = False
    scheduler: str = ""  # whose workers train; empty: this process


def run(job: TrainJob, settings: Settings, *, as_json: bool) -> bool:
    """Train and print a verdict for each series; return False if any series could not be trained.

    Raises:
        SettingsError: an option is out of range.
        HistoryError: a file cannot be read, or no reading was recorded.
    """
    begin_log(settings.log_level, settings.log_format)
    check_season(job.season, "--season")
    check_folder("the store", settings.store)
    spec, settings = _shape(job, settings)
    histories = read_source(job.source, settings)
    check_season_fits(job.season, max(map(len, histories.accepted), default=0), "--season")
    print_notes(histories.all_notes)
    verdicts = [Verdict(refusal.series, "refused", refusal.reason) for refusal in histories.refused]
    if job.dry_run:
        verdicts += [Verdict(h.series, "readable", counted(len(h), "reading")) for h in histories.accepted]
    else:
        verdicts += _train(job, histories, spec, settings)
    _print(verdicts, as_json=as_json)
    return not any(verdict.status in REFUSALS for verdict in verdicts)


def _train(job: TrainJob, histories: Histories, spec: Spec, settings: Settings) -> list[Verdict]:
    with progress("training", "series", len(histories.accepted)) as report_progress:
        options = TrainOptions(season=job.season, force=job.force, progress=report_progress, scheduler=job.scheduler)
        return train(histories.accepted, spec, settings, ModelStore(settings.store), options)


def _shape(job: TrainJob, settings: Settings) -> tuple[Spec, Settings]:
    """Return the spec to train: the requested one, else the tuned one of this store, else the default."""
    if job.shape is None:
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
