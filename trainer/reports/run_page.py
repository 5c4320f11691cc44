"""One page for all series: how well each is forecast, which version answers and why, with links to their reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tidecast.errors import HistoryError, ModelError, StoreError
from tidecast.files.history import Histories, History
from tidecast.log import begin_log
from tidecast.models.store import ModelStore, Version
from tidecast.outputs import check_folder
from tidecast.progress import progress
from tidecast.settings import Settings
from trainer.data.source import Source, read_source
from trainer.evaluation.gate import MODEL
from trainer.reports import html_page
from trainer.reports.html_page import TableCell
from trainer.reports.report import FOLDER, moment, write_report
from trainer.reports.review import Review, review
from trainer.reports.target import load_target, stem_of

NAME = "index"
MINUTE_MS = 60_000
HEAD = ("series", "champion", "skill", "MASE", "coverage", "newest version", "made", "reason")


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """One series of the page.

    Attributes:
        series: its name.
        champion: the version that answers; None: none does.
        newest: its newest version; None: it has none.
        coverage: the share of readings inside the interval, on the readings of its report; None without a report.
        problem: why its report was not written, though its readings were given.
    """

    series: str
    champion: int | None
    newest: Version | None
    coverage: float | None = None
    problem: str = ""

    @property
    def skill(self) -> float | None:
        """Return the skill over the last value, as the gate measured it."""
        return self.newest.header.evidence.skill if self.newest and self.newest.header.evidence.rows else None

    @property
    def mase(self) -> float | None:
        """Return the MASE that the gate measured."""
        scores = self.newest.header.evidence.scores.get(MODEL) if self.newest else None
        return scores.mase if scores else None

    @property
    def reason(self) -> str:
        """Return the verdict on the newest version, and why the report was not written."""
        if self.newest is None:
            return self.problem or "no version: train it"
        verdict = self.newest.header.evidence.verdict
        return f"{verdict}. No report: {self.problem}" if self.problem else verdict

    def cells(self, out: Path) -> list[TableCell]:
        """Return the cells below `HEAD`; the name links to the report of the champion if it lies in `out`."""
        page = out / f"{stem_of(self.series, self.champion)}.html" if self.champion else None
        made_ms = self.newest.header.created_ms // MINUTE_MS * MINUTE_MS if self.newest else 0
        return [
            TableCell(self.series, self.series, page.name if page and page.exists() else ""),
            TableCell("none" if self.champion is None else str(self.champion), self.champion),
            TableCell("" if self.skill is None else f"{self.skill:.3f}", self.skill),
            TableCell("" if self.mase is None else f"{self.mase:.3f}", self.mase),
            TableCell("" if self.coverage is None else f"{100 * self.coverage:.1f} %", self.coverage),
            TableCell(str(self.newest.number) if self.newest else "", self.newest.number if self.newest else None),
            TableCell(moment(made_ms) if made_ms else "", made_ms or None),
            TableCell(self.reason, self.reason),
        ]


def run(source: Source | None, settings: Settings, out: Path = FOLDER) -> Path:
    """Write the page on all series of the store; with readings also the report of each; return the page's path.

    Args:
        source: the readings; None: no reports are written, and only those that exist are linked.
        settings: where the store is, and as for a report.
        out: the folder of the pages.

    Raises:
        SettingsError: the folder cannot be written to.
        HistoryError: a file cannot be read.
    """
    begin_log(settings.log_level, settings.log_format)
    check_folder("--out", out)
    store = ModelStore(settings.store)
    read = read_source(source, settings, all_by_default=True) if source else Histories(())
    lines = {series: _line(series, store) for series in store.series()}
    with progress("writing reports", "series", len(read.accepted)) as report_progress:
        for done, history in enumerate(read.accepted, start=1):
            lines[history.series] = _reported(history, settings, store, out)
            report_progress(done)
    for refusal in read.refused:
        known = lines.get(refusal.series) or _line(refusal.series, store)
        lines[refusal.series] = SeriesLine(known.series, known.champion, known.newest, problem=refusal.reason)
    return html_page.write(out, NAME, _html(list(lines.values()), out), [])


def _line(series: str, store: ModelStore) -> SeriesLine:
    """Return what the store holds of a series; a damaged version counts as none."""
    try:
        versions = list(store.describe(series))
        return SeriesLine(series, store.champion(series), versions[-1] if versions else None)
    except (ModelError, StoreError) as exc:
        return SeriesLine(series, None, None, problem=str(exc))


def _reported(history: History, settings: Settings, store: ModelStore, out: Path) -> SeriesLine:
    """Write the report of a series' champion, if it has one."""
    line = _line(history.series, store)
    if line.champion is None:
        return line
    try:
        subject = load_target(history.series, history, store, line.champion)
        reviewed: Review = review(subject, settings)
    except (HistoryError, ModelError, StoreError) as exc:
        return SeriesLine(line.series, line.champion, line.newest, problem=str(exc))
    write_report(subject, reviewed, out)
    return SeriesLine(line.series, line.champion, line.newest, reviewed.coverage)


def _html(lines: Sequence[SeriesLine], out: Path) -> str:
    ordered = sorted(lines, key=lambda line: (line.skill is None, line.skill or 0.0, line.series))
    champions = sum(line.champion is not None for line in lines)
    facts = [("Series", str(len(lines))), ("With a champion", str(champions)), *_medians(lines)]
    return html_page.page(
        "All series",
        html_page.paragraph(
            "Skill over the last value and MASE are those of the newest version on readings held back from its "
            "training; the coverage is that of the report. A press on a title sorts the table.",
            "sub",
        ),
        html_page.facts(facts),
        html_page.sortable_table(HEAD, [line.cells(out) for line in ordered]),
        script=html_page.SORT,
    )


def _medians(lines: Sequence[SeriesLine]) -> Iterator[tuple[str, str]]:
    measures = (
        ("Median skill", [line.skill for line in lines]),
        ("Median MASE", [line.mase for line in lines]),
        ("Median coverage", [line.coverage for line in lines]),
    )
    for name, values in measures:
        known = [value for value in values if value is not None]
        if known:
            yield name, f"{np.median(known):.3f}"
