"""Digests of training runs: an interrupted run resumes, and a repeated run trains nothing twice."""

import hashlib
from pathlib import Path

from tidecast.arrays import Int64
from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.known.inputs import KnownInputs, KnownSeries
from tidecast.models.model import Header
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import typical_step
from tidecast.settings import Settings

RUN = "run"  # the entry of `Header.training` that holds the digest


def run_digest(history: History, spec: Spec, settings: Settings, season: int | None) -> str:
    """Return a digest of the inputs that determine a trained model, except the champion that a warm start uses."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    digest.update(settings.train.model_dump_json().encode())
    series = settings.series
    digest.update(f"{series.max_gap} {series.level} {series.bounds} {season}".encode())
    digest.update(_own_code(settings.experts.source_of(history.series)))
    digest.update(history.ts.tobytes())
    digest.update(history.values.tobytes())
    if history.known:
        digest.update(_known_bytes(history.known, history.ts))
    return digest.hexdigest()


def _known_bytes(known: KnownSeries, ts: Int64) -> bytes:
    """Return the known inputs at the times of a history and shortly after, as bytes."""
    inputs = KnownInputs(known.names, typical_step(ts) if len(ts) > 1 else 0.0, known.special)
    return repr(known.names).encode() + inputs.look_up(known.values, known.series, ts, ts).tobytes()


def _own_code(source: str | None) -> bytes:
    """Return the source of a series' own expert, and the content if it is a file."""
    path = Path((source or "").rpartition(":")[0])
    return (source or "").encode() + (path.read_bytes() if path.suffix == ".py" and path.is_file() else b"")


def trained_before(store: ModelStore, series: str, digest: str) -> tuple[int, Header] | None:
    """Return the newest version of the series if this run made it, else None.

    Only the newest version counts: a user who returns to an earlier spec wants it judged against today's champion.
    """
    versions = store.versions(series)
    if not versions:
        return None
    number = versions[-1]
    try:
        header = store.header(series, number)
        if header.training.get(RUN) != digest:
            return None
        store.load(series, number)
    except ModelError:
        return None  # training continues after a damaged version: the next version replaces it
    return number, header
