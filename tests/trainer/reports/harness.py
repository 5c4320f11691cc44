"""A series and a model of it that the tests of the reports share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.files.history import History
from tidecast.models.model import Evidence, Model, Scores
from tidecast.models.spec import Spec
from tidecast.settings import load_settings
from trainer.reports import html_page
from trainer.reports.canvas import SHEETS
from trainer.reports.review import Review, review
from trainer.reports.target import ReportTarget

SERIES = "<script>alert('x')</script> & $co/"
SPEC = Spec(window=6, units=5)
START = 1_704_067_200_000  # the first millisecond of 2024
STEP_MS = 60_000
ROWS = 90
TAIL = 30
CURVES = {"loss": (0.9, 0.5, 0.4), "val_loss": (0.8, 0.4, 0.6)}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_history(rows: int = ROWS, features: tuple[str, ...] = ("value",)) -> History:
    """Return a wave with noise, a minute apart."""
    rng = np.random.default_rng(3)
    values = np.sin(np.arange(rows) / 4)[:, None] + 0.3 * rng.normal(size=(rows, len(features)))
    return History(SERIES, features, START + np.arange(rows, dtype=np.int64) * STEP_MS, values)


def make_version(spec: Spec = SPEC, *, trained: int = ROWS - TAIL, **changes: object) -> Model:
    """Return a model that learned from the first `trained` readings."""
    model = make_model(SERIES, spec, step_ms=STEP_MS)
    scores = {"model": Scores(mae=0.5, rmse=0.7, mase=0.8), "last_value": Scores(mae=1.0, rmse=1.2)}
    evidence = Evidence(rows=TAIL, season=25, scores=scores, skill=0.5, verdict="published <b>because</b>")
    known = {
        "span": (START, START + (trained - 1) * STEP_MS),
        "curves": CURVES,
        "libraries": {"<i>keras": "3"},
        "evidence": evidence,
        "half_width": 0.9,
    }
    return Model(model.header.model_copy(update={**known, **changes}), model.weights, model.panel)


def write_csv(file: Path, history: History) -> Path:
    """Write a history as a CSV file with one more column, and return the file."""
    rows = (
        f'"{history.series}",{ts},7,{",".join(map(repr, map(float, row)))}\n'
        for ts, row in zip(history.ts, history.values, strict=True)
    )
    file.write_text(f"series,ts,other,{','.join(history.features)}\n{''.join(rows)}")
    return file


def reviewed(model: Model, history: History) -> Review:
    """Return the review with default settings."""
    return review(ReportTarget(1, model, history), load_settings())


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a folder by their names."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextmanager
def sheets(*others: str) -> Iterator[None]:
    """Draw each picture of a page within the block on the wide light sheet and these others alone, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "SHEETS", {name: SHEETS[name] for name in ("light", *others)})
        patch.setattr(html_page, "_MEDIA", {name: html_page._MEDIA[name] for name in others})
        yield


def one_sheet_bytes(folder: Path) -> dict[str, bytes]:
    """Return what `folder_bytes` returns if the pictures are on one sheet: the page without the others."""
    return {name: re.sub(rb"<source [^>]*>", b"", content) for name, content in folder_bytes(folder).items()}
