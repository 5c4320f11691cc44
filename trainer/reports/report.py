"""The report on a version, one page: its learning curves, forecasts, errors and the evidence for its publication."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tidecast.files.history import History
from tidecast.log import begin_log
from tidecast.models.metrics import skill
from tidecast.models.model import Header
from tidecast.models.step_scores import COLUMNS as STEP_COLUMNS
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder
from tidecast.pictures.gates import network_text
from tidecast.pictures.weights import expert_name
from tidecast.settings import Settings
from trainer.evaluation.gate import LAST_VALUE, MODEL
from trainer.fingerprint import RUN
from trainer.reports import figures, html_page
from trainer.reports.canvas import Sheet
from trainer.reports.error_times import errors_by_time, has_hours, stretch_rows, worst_stretches
from trainer.reports.html_page import Picture
from trainer.reports.review import Review, review
from trainer.reports.steps import ERRORS, NEXT_HEAD, StepsAhead, errors_by_step
from trainer.reports.target import ReportTarget, Request, load_target, requested_history

FOLDER = Path("out/reports")
NO_WEIGHT = "0.0 %"
WEIGHTS_HEAD = ("expert", "mean weight", "leads", "weight in the next forecast")


def run(request: Request, settings: Settings, out: Path = FOLDER) -> Path:
    """Write the report on a version of a series' model over the history in files; return the page's path.

    Raises:
        SettingsError: the folder cannot be written to.
        StoreError: the series has no such version.
        HistoryError: a file cannot be read, or does not fit the model.
    """
    begin_log(settings.log_level, settings.log_format)
    check_folder("--out", out)
    store = ModelStore(settings.store)
    return report(request.series, requested_history(request, settings, store), settings, store, out, request.version)


def report(
    series: str, history: History, settings: Settings, store: ModelStore, out: Path, version: int | None = None
) -> Path:
    """Write a version's report to the folder `out`: one HTML file that opens offline, and its pictures beside it.

    Args:
        series: the series of the model; the page is named after its SHA-256 and the version.
        history: the readings to forecast; those newer than the version's training are judged.
        settings: which gaps to fill, and the share of a tail.
        store: where the version is.
        out: created if it is missing.
        version: None: the champion.

    Raises:
        SettingsError: the folder cannot be written to.
        StoreError: the series has no such version.
        HistoryError: the history lacks a feature that the model reads, or is too short for a forecast.
    """
    check_folder("out", out)
    subject = load_target(series, history, store, version)
    return write_report(subject, review(subject, settings), out)


def write_report(subject: ReportTarget, reviewed: Review, out: Path) -> Path:
    """Write the report of a reviewed version; return the page's path."""
    pictures = _pictures(subject, reviewed)
    return html_page.write(out, subject.stem, _html(subject, reviewed, pictures), list(pictures.values()))


def _pictures(subject: ReportTarget, reviewed: Review) -> dict[str, Picture]:
    header = subject.model.header
    target = header.spec.target
    drawings: dict[str, tuple[str, Callable[[Sheet], Figure]]] = {
        "forecasts": (
            f"The newest {min(len(reviewed), figures.SHOWN)} readings of {target}, the forecast of each, made one step "
            "before it, and the forecast of the next reading. Times are UTC.",
            lambda sheet: figures.forecasts(reviewed, target, sheet),
        ),
        "weights": (
            "The weight of each expert in the forecasts. The smaller an expert's latest errors, the larger its weight.",
            lambda sheet: figures.weights(reviewed, sheet),
        ),
        "residuals": (
            "The errors of the forecasts; the blue band is the interval. In the last picture the band is what chance "
            "alone gives: bars beyond it are a pattern that a better model could still use.",
            lambda sheet: figures.residuals(reviewed, target, sheet),
        ),
        "coverage": (
            "How many readings fell inside the interval. Its width was chosen from the errors on the readings that "
            "judged the version, so their share is near the aim. The worker's interval adapts with every reading.",
            lambda sheet: figures.coverage(reviewed, sheet),
        ),
    }
    if has_hours(reviewed):
        drawings["times"] = (
            "The mean absolute error for each hour of the day and each weekday, in UTC; the dashed line is the mean of "
            "all. A high bar is a time that the model does not know well.",
            lambda sheet: errors_by_time(reviewed, target, sheet),
        )
    if steps := steps_picture(reviewed, target):
        drawings["steps"] = steps
    if any(header.curves.values()):
        drawings["learning"] = (
            "The loss by epoch: on the readings learned from, and on the part that decides when to stop.",
            lambda sheet: figures.learning(header, sheet),
        )
    return {name: html_page.picture(name, caption, draw) for name, (caption, draw) in drawings.items()}


def _html(subject: ReportTarget, reviewed: Review, pictures: dict[str, Picture]) -> str:
    header = subject.model.header
    images = {name: html_page.figure(picture) for name, picture in pictures.items()}
    unlearned = html_page.paragraph("The version keeps no learning curves.", "sub")
    return html_page.page(
        header.series,
        html_page.paragraph(f"Version {subject.number}: {panel(header)}", "sub"),
        html_page.facts(_headline(header, reviewed)),
        html_page.paragraph(_data_text(reviewed)),
        html_page.section("Forecasts", images["forecasts"]),
        html_page.section("Experts", images["weights"], html_page.table(WEIGHTS_HEAD, weight_rows(reviewed))),
        html_page.section("Errors", images["residuals"], images.get("times", ""), _worst(reviewed)),
        html_page.section("Interval", images["coverage"]),
        steps_section(reviewed.steps, images.get("steps", "")),
        html_page.section("Learning", images.get("learning", unlearned)),
        html_page.section("Evidence", html_page.paragraph(header.evidence.verdict), _contestants(header)),
        html_page.section("The version", html_page.pairs(_particulars(subject))),
    )


def steps_picture(reviewed: Review, target: str) -> tuple[str, Callable[[Sheet], Figure]] | None:
    """Return the caption and the drawing of the errors by step; None without several steps."""
    if reviewed.steps is None or not reviewed.steps.scores:
        return None
    scores = reviewed.steps.scores
    return ERRORS, lambda sheet: errors_by_step(scores, reviewed.level, target, sheet)


def steps_section(steps: StepsAhead | None, picture: str) -> str:
    """Return the section on several steps as HTML, with its picture; empty without several steps."""
    if steps is None:
        return ""
    scores = html_page.table(STEP_COLUMNS, [score.cells() for score in steps.scores])
    return html_page.section("Several steps ahead", picture, scores, html_page.table(NEXT_HEAD, next_rows(steps)))


def next_rows(steps: StepsAhead) -> list[tuple[str, str, str, str]]:
    """Return a row for each step after the newest reading: its number, time, forecast and interval."""
    return [
        (
            str(step.step),
            "" if step.ts is None else moment(step.ts).removesuffix(" UTC"),
            f"{step.yhat:.5g}",
            "" if step.lower is None or step.upper is None else f"{step.lower:.5g} to {step.upper:.5g}",
        )
        for step in steps.ahead
    ]


def _headline(header: Header, reviewed: Review) -> list[tuple[str, str]]:
    """Return the key figures; skill and error are those that the gate measured, on readings held back from training."""
    evidence = header.evidence
    low, high = reviewed.interval(np.array(reviewed.next_answer))
    judged = f"on {evidence.rows} readings held back from training"
    facts = [(f"Forecast for {moment(reviewed.next_ts)}", f"{reviewed.next_answer:.5g} ({low:.5g} to {high:.5g})")]
    if evidence.rows:
        facts.append((f"Skill over the last value, {judged}", f"{evidence.skill:.3f}"))
        facts.append((f"Mean absolute error, {judged}", f"{evidence.scores[MODEL].mae:.4g}"))
    else:
        facts.append(("Skill over the last value", "not judged"))
    inside = f"{reviewed.inside.sum()} of {len(reviewed)}"
    return [*facts, (f"Inside the {reviewed.level * 100:g} % interval, {_data_name(reviewed)}", inside)]


def _data_name(reviewed: Review) -> str:
    return "readings learned from" if reviewed.trained_on else "newer readings"


def _data_text(reviewed: Review) -> str:
    """Return a sentence on the readings that the pictures show."""
    if reviewed.trained_on:
        return (
            "Too few readings are newer than the model's training. The model has learned from the readings shown "
            "below, and will forecast newer ones less well."
        )
    return (
        f"The pictures show {len(reviewed)} readings newer than the training. On them the skill is "
        f"{reviewed.skill:.3f} and the mean absolute error {reviewed.mae:.4g}."
    )


def _worst(reviewed: Review) -> str:
    """Return a table of the stretches with the largest errors as HTML."""
    rows = stretch_rows(worst_stretches(reviewed), reviewed.mae, moment)
    head = ("worst stretch from", "to", "MAE", "times the mean")
    return html_page.table(head, rows) if rows else ""


def _contestants(header: Header) -> str:
    naive = header.evidence.scores.get(LAST_VALUE)
    rows = [
        (
            name.replace("_", " "),
            f"{scores.mae:.4g}",
            f"{scores.rmse:.4g}",
            "" if scores.mase is None else f"{scores.mase:.3f}",
            f"{skill(scores.mae, naive.mae):.3f}" if naive else "",
        )
        for name, scores in sorted(header.evidence.scores.items(), key=lambda item: item[1].mae)
    ]
    return html_page.table(("contestant", "MAE", "RMSE", "MASE", "skill"), rows)


def _particulars(subject: ReportTarget) -> list[tuple[str, str]]:
    header = subject.model.header
    evidence = header.evidence
    season = "none found" if evidence.season is None else f"{evidence.season} readings"
    particulars = [
        ("network", network_text(header.spec) if header.network else "none"),
        ("cohort", header.shared or "none"),
        ("target", header.spec.target),
        ("features", ", ".join(header.spec.features)),
        ("target and loss", f"{header.spec.target_transform}, {header.spec.loss.upper()}"),
        ("step", f"{header.step_ms / 1000:g} s"),
        ("trained on", f"{moment(header.span[0])} to {moment(header.span[1])}"),
        ("judged on", f"{evidence.rows} readings"),
        ("season", season),
        ("interval", f"± {header.half_width:.4g} at {header.level * 100:g} %"),
        ("made", moment(header.created_ms) if header.created_ms else "unknown"),
        ("started from", f"version {header.parent}" if header.parent else "no earlier version"),
        ("settings", _listed({name: value for name, value in header.training.items() if name != RUN})),
        ("libraries", _listed(header.libraries)),
    ]
    return particulars + [("repaired", note) for note in subject.history.notes]


def weight_rows(reviewed: Review) -> list[tuple[str, str, str, str]]:
    """Return each expert's mean weight, how often it leads, and its weight in the next forecast, the largest first."""
    mean = reviewed.weights.mean(axis=0)
    leads = np.bincount(reviewed.weights.argmax(axis=1), minlength=len(mean)) / len(reviewed)
    rows = [
        (expert_name(i), _per_cent(mean[i]), _per_cent(leads[i]), _per_cent(reviewed.next_weights[i]))
        for i in np.argsort(-mean)
    ]
    return [row for row in rows if set(row[1:]) != {NO_WEIGHT}]


def _per_cent(weight: float) -> str:
    return f"{100 * weight:.1f} %"


def panel(header: Header) -> str:
    """Describe a version's experts in a few words."""
    shared = ", its cohort's network" if header.shared else ""
    return f"linear experts{shared}{', ' + network_text(header.spec) if header.network else ''}"


def moment(ts: int) -> str:
    """Format a time in UTC, without seconds or time of day if they are zero."""
    at = datetime.fromtimestamp(ts / 1000, UTC)
    if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M} UTC" if at.second == 0 else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _listed(named: dict[str, str] | dict[str, float | int | str | bool | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items()) or "unknown"
