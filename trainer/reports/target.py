"""The subject of a report: one version of a series' model, and the history to apply it to."""

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from tidecast.errors import HistoryError
from tidecast.files.history import Histories, History
from tidecast.files.layout import DEFAULT_TARGET
from tidecast.models.calendar_steps import times_after
from tidecast.models.model import Header, Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.data.gross_errors import without_gross_errors
from trainer.data.source import Source, read_source


@dataclass(frozen=True, slots=True)
class Request:
    """A user's request for a report; columns that are not given are those of the model."""

    series: str
    source: Source
    version: int | None = None  # None: the champion


@dataclass(frozen=True, slots=True)
class ReportTarget:
    """A version, and a history with the columns that it reads, in its order."""

    number: int
    model: Model
    history: History
    shared: Model | None = None  # the network of its cohort

    @property
    def stem(self) -> str:
        """Return the stem of its file names; a series name is data and never part of a file name."""
        return stem_of(self.model.header.series, self.number)


def stem_of(series: str, number: int) -> str:
    """Return the stem of the file names of a version's report."""
    return f"{sha256(series.encode()).hexdigest()[:12]}-v{number}"


def requested_history(request: Request, settings: Settings, store: ModelStore) -> History:
    """Read the history of a request, by default with the model's columns.

    Raises:
        StoreError: the series has no such version.
        HistoryError: a file cannot be read, or holds no usable series of this name.
    """
    _, model = store.load(request.series, request.version)
    likely = None if model.spec.target == DEFAULT_TARGET and request.source.recorded is None else model.spec.target
    target = request.source.target or likely  # None: a file may call it `value` or `y`
    features = request.source.features or model.spec.features[1:]
    source = replace(request.source, target=target, features=features)
    return _named(request.series, read_source(source, settings, series=(request.series,)))


def load_target(series: str, history: History, store: ModelStore, version: int | None) -> ReportTarget:
    """Load a version of a series' model and pair it with a history, from which gross errors are removed.

    Raises:
        StoreError: the series has no such version.
        HistoryError: the history lacks a feature that the model reads.
    """
    number, model = store.load(series, version)
    readings = without_gross_errors(_columns(history, model.spec), model.header.largest_move or None)
    return ReportTarget(number, model, readings, store.cohort_network(model.header.shared))


def with_next(history: History, header: Header) -> History:
    """Append a row for the next reading, so that forecasting a history includes the next value."""
    ts = np.append(history.ts, times_after(history.ts[-1:], history.ts, header.step_ms, gridded=header.gridded))
    return replace(history, ts=ts, values=np.vstack([history.values, history.values[-1:]]))


def _named(series: str, read: Histories) -> History:
    for history in read.accepted:
        if history.series == series:
            return history
    for refusal in read.refused:
        if refusal.series == series:
            raise HistoryError(f"series {series!r}: {refusal.reason}")
    names = sorted(history.series for history in read.accepted)
    listed = ", ".join(repr(name[:40]) for name in names[:5]) + (", …" if len(names) > 5 else "")
    raise HistoryError(f"no file holds series {series!r}; found: {listed or 'none'}: name one of these or other files")


def _columns(history: History, spec: Spec) -> History:
    if missing := [name for name in spec.features if name not in history.features]:
        raise HistoryError(
            f"series {history.series!r} has no {missing[0]!r} in this history, which its model reads: "
            "name its column with --target or --features"
        )
    order = [history.features.index(name) for name in spec.features]
    return replace(history, features=spec.features, values=history.values[:, order])
