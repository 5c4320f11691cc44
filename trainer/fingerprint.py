"""What a run was: so that one that was interrupted goes on, and one repeated does nothing twice."""

import hashlib

from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.model import Header
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings

RUN = "run"  # the entry of `Header.training` that holds the digest


def run_digest(history: History, spec: Spec, settings: Settings, season: int | None) -> str:
    """Digest all that decides what a training makes of a history, save the champion that it starts from."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    digest.update(settings.train.model_dump_json().encode())
    digest.update(f"{settings.series.max_gap} {settings.series.level} {season}".encode())
    digest.update(history.ts.tobytes())
    digest.update(history.values.tobytes())
    return digest.hexdigest()


def trained_before(store: ModelStore, series: str, digest: str) -> tuple[int, Header] | None:
    """The newest version of the series, if it is of this very run.

    Only the newest counts: who returns to an earlier spec wants it judged against today's champion.
    """
    versions = store.versions(series)
    if not versions:
        return None
    try:
        number, model = store.load(series, versions[-1])
    except ModelError:
        return None  # a damaged version is no reason not to train: the next one takes its place
    return (number, model.header) if model.header.training.get(RUN) == digest else None
