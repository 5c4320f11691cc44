"""The report on a version, one page: its learning curves, forecasts, errors and the evidence for its publication."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tidecast.files.history import History
from tidecast.models.experts import EXPERTS
from tidecast.models.metrics import skill
from tidecast.models.model import Header
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder
from tidecast.settings import Settings
from trainer.evaluation.gate import LAST_VALUE
from trainer.fingerprint import RUN
from trainer.reports import figures, html_page
from trainer.reports.canvas import Palette
from trainer.reports.html_page import Picture
from trainer.reports.review import Review, review
from trainer.reports.target import ReportTarget, Request, requested_history, subject_of

FOLDER = Path("out/reports")
SHARES_HEAD = ("expert", "mean share", "share in the next forecast")


def run(request: Request, settings: Settings, out: Path = FOLDER) -> Path:
    """Write the report on a version of a series' model over the history in files; return the page's path.

    Raises:
        SettingsError: the folder cannot be written to.
        StoreError: the series has no such version.
        HistoryError: a file cannot be read, or does not fit the model.
    """
    check_folder("--out", out)
    store = ModelStore(settings.store)
    return report(request.series, requested_history(request, store), settings, store, out, request.version)


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
    subject = subject_of(series, history, store, version)
    reviewed = review(subject, settings)
    drawn = _draw(subject, reviewed)
    return html_page.write(out, subject.stem, _html(subject, reviewed, drawn), list(drawn.values()))


def _draw(subject: ReportTarget, found: Review) -> dict[str, Picture]:
    header = subject.model.header
    target = subject.model.spec.target
    drawings: dict[str, tuple[str, Callable[[Palette], Figure]]] = {
        "forecasts": (
            f"The newest {min(len(found), figures.SHOWN)} readings of {target}, each beside the forecast made one "
            "step before it, and the next value. Times are UTC.",
            lambda palette: figures.forecasts(found, target, palette),
        ),
        "weights": (
            "What each expert of the panel says in the forecast, as shares of one: the better an expert's latest "
            "errors, the larger its share.",
            lambda palette: figures.weights(found, palette),
        ),
        "residuals": (
            "What the forecasts got wrong; the interval is shaded. Bars that leave the band of the lower right "
            "picture are structure that a better model could still use.",
            lambda palette: figures.residuals(found, target, palette),
        ),
        "coverage": (
            "How many readings fell inside the interval. Its width is the one kept with the version, chosen from the "
            "errors of the readings it was judged by, so that the share of those is near the one asked for; the "
            "worker's adapts to its latest errors.",
            lambda palette: figures.coverage(found, palette),
        ),
    }
    if any(header.curves.values()):
        drawings["learning"] = (
            "The loss on the part learned from and on the part that tells when to stop, by epoch.",
            lambda palette: figures.learning(header, palette),
        )
    return {name: html_page.picture(name, caption, draw) for name, (caption, draw) in drawings.items()}


def _html(subject: ReportTarget, found: Review, drawn: dict[str, Picture]) -> str:
    header = subject.model.header
    images = {name: html_page.figure(shown) for name, shown in drawn.items()}
    unlearned = html_page.paragraph("The version keeps no learning curves.", "sub")
    return html_page.page(
        header.series,
        html_page.paragraph(f"Version {subject.number}: {panel(header)}", "sub"),
        html_page.facts(_headline(found)),
        *([html_page.paragraph(_TRAINED_ON)] if found.trained_on else []),
        html_page.section("Forecasts", images["forecasts"]),
        html_page.section("Experts", images["weights"], html_page.table(SHARES_HEAD, shares(found))),
        html_page.section("Errors", images["residuals"]),
        html_page.section("Interval", images["coverage"]),
        html_page.section("Learning", images.get("learning", unlearned)),
        html_page.section("Evidence", html_page.paragraph(header.evidence.verdict), _contestants(header)),
        html_page.section("The version", html_page.pairs(_particulars(subject))),
    )


_TRAINED_ON = (
    "The history ends where the model's training does: it has learned from the readings shown here, and forecasts "
    "newer ones less well. The evidence below is from readings that it had not seen."
)


def _headline(found: Review) -> list[tuple[str, str]]:
    low = found.next_answer - found.half_width
    high = found.next_answer + found.half_width
    coming = f"{found.next_answer:.5g} ({low:.5g} to {high:.5g})"
    return [
        (f"Next value, {moment(found.next_ts)}", coming),
        ("Skill against the last value", f"{found.skill:.3f}"),
        (f"Mean absolute error, {len(found)} readings", f"{found.mae:.4g}"),
        (f"Inside the {found.level * 100:g} % interval", f"{found.inside.sum()} of {len(found)}"),
    ]


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
        ("network", network(header.spec) if header.network else "none"),
        ("cohort", header.shared or "none"),
        ("target", header.spec.target),
        ("features", ", ".join(header.spec.features)),
        ("target and loss", f"{header.spec.target_transform}, {header.spec.loss.upper()}"),
        ("step", f"{header.step_ms / 1000:g} s"),
        ("trained on", f"{moment(header.span[0])} to {moment(header.span[1])}"),
        ("judged on", f"{evidence.rows} readings"),
        ("season", season),
        ("skill when judged", f"{evidence.skill:.3f}"),
        ("interval", f"± {header.half_width:.4g} at {header.level * 100:g} %"),
        ("made", moment(header.created_ms) if header.created_ms else "unknown"),
        ("started from", f"version {header.parent}" if header.parent else "no earlier version"),
        ("settings", _listed({name: value for name, value in header.training.items() if name != RUN})),
        ("libraries", _listed(header.libraries)),
    ]
    return particulars + [("repaired", note) for note in subject.history.notes]


def shares(found: Review) -> list[tuple[str, str, str]]:
    """Return each expert's mean share in the forecasts and its share in the next one, the largest first."""
    mean = found.weights.mean(axis=0)
    used = [i for i in np.argsort(-mean).tolist() if mean[i] > 0 or found.next_weights[i] > 0]
    return [(EXPERTS[i].replace("_", " "), f"{mean[i]:.1%}", f"{found.next_weights[i]:.1%}") for i in used]


def panel(header: Header) -> str:
    """Describe a version's experts in a few words."""
    shared = ", its cohort's network" if header.shared else ""
    return f"linear experts{shared}{', ' + network(header.spec) if header.network else ''}"


def network(spec: Spec) -> str:
    """Describe a network in a few words: `bidirectional LSTM, 2 layers of 50, window 24, tanh`."""
    layers = f"{spec.layers} layers of {spec.units}" if spec.layers > 1 else f"{spec.units} units"
    direction = "bidirectional " if spec.bidirectional else ""
    return f"{direction}LSTM, {layers}, window {spec.window}, {spec.activation}"


def moment(ts: int) -> str:
    """Format a time in UTC, without seconds or time of day if they are zero."""
    at = datetime.fromtimestamp(ts / 1000, UTC)
    if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M} UTC" if at.second == 0 else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _listed(named: dict[str, str] | dict[str, float | int | str | bool | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items()) or "unknown"
