"""The histories of a retraining run, and the versions that their series have."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.model import Header
from tidecast.models.store import ModelStore
from tidecast.moments import moment_ms
from tidecast.settings import Settings
from trainer.data.recorded import RecordedQuery, read_recorded
from trainer.verdict import Verdict

LACKS = "its readings lack {} that its champion reads: send them as numbers, or train it by hand"

_log = structlog.get_logger("tidecast.retrain")


@dataclass(frozen=True, slots=True)
class StoredVersions:
    """The headers of a series' champion and of its newest version."""

    champion: Header | None = None
    number: int | None = None  # the champion's
    newest: Header | None = None


def stored_versions(store: ModelStore) -> dict[str, StoredVersions]:
    """Return each series' champion and newest version; a version that cannot be read counts as missing."""

    def header(series: str, number: int | None) -> Header | None:
        try:
            return None if number is None else store.header(series, number)
        except ModelError as exc:
            _log.warning("version cannot be read", series=series, version=number, error=str(exc))
            return None

    by_series = {}
    for series in store.series():
        number = store.champion(series)
        newest = max(store.versions(series))
        champion = header(series, number)
        by_series[series] = StoredVersions(champion, number, champion if newest == number else header(series, newest))
    return by_series


def read_histories(
    settings: Settings, partition: int, series: tuple[str, ...], versions: Mapping[str, StoredVersions]
) -> tuple[dict[str, History], list[Verdict]]:
    """Return the histories of a partition's series with their champions' features, and verdicts for those without.

    Each target of the champions is read separately; usually there is only one.

    Args:
        settings: where Redis and the archive are, and what to read (`retrain`).
        partition: its number.
        series: their names; none: all series of the partition.
        versions: by series.
    """
    champions = {name: stored.champion.spec for name, stored in versions.items() if stored.champion}
    usual = settings.series.target
    since = settings.retrain.since
    query = RecordedQuery(
        series=series,
        pattern=settings.retrain.pattern,
        since_ms=moment_ms(since, time.time_ns() // 1_000_000, "retrain.since") if since else None,
        archive=settings.retrain.history,
        partitions=(partition,),
    )
    histories: dict[str, History] = {}
    refused: list[Verdict] = []
    for target in [usual, *sorted({spec.target for spec in champions.values()} - {usual})]:
        mine = {name for name, spec in champions.items() if spec.target == target}
        asked = series if target == usual else sorted(mine & set(series) if series else mine)
        if target != usual and not asked:
            continue
        is_wide = any(len(champions[name].features) > 1 for name in mine)
        query = replace(query, series=asked, target=target, features=("all",) if is_wide else ())
        for history in read_recorded(settings, query).accepted:
            spec = champions.get(history.series)
            if spec and spec.target != target:
                continue
            narrowed = _narrowed(history, spec.features if spec else (target,))
            if isinstance(narrowed, Verdict):
                refused.append(narrowed)
            else:
                histories[history.series] = narrowed
    return histories, refused


def _narrowed(history: History, features: tuple[str, ...]) -> History | Verdict:
    """Return the history with only these features, or a verdict if it lacks one."""
    lacking = [name for name in features if name not in history.features]
    if lacking:
        return Verdict(history.series, "refused", LACKS.format(", ".join(lacking)))
    columns = [history.features.index(name) for name in features]
    return replace(history, features=features, values=history.values[:, columns])
