"""The store: that it is there, can be written, and that every champion can answer."""

import tempfile
from collections.abc import Iterator

from tidecast.doctor.finding import Case, Finding
from tidecast.errors import ModelError, StoreError
from tidecast.models.store import ModelStore

TOLD = 5  # broken champions one by one; of more, only how many


def store(case: Case) -> Iterator[Finding]:
    """The store is a directory, and whoever trains may write to it."""
    root, retrain = case.settings.store, case.settings.retrain
    if not root.exists():
        found = f"there is no store at {root}, so that only the simplest experts answer"
        yield Finding("store", "warning", found, "train models with `tidecast train`, or correct the setting store")
    elif not root.is_dir():
        yield Finding("store", "wrong", f"the store {root} is no directory", "correct the setting store")
    else:
        try:
            tempfile.TemporaryFile(dir=root).close()
        except OSError as exc:
            found = f"the store {root} cannot be written ({exc.strerror}), so that nothing can be trained here"
            remedy = "grant this user the right to write there, or train as another user"
            yield Finding("writable", "wrong" if retrain.asks_for_schedule else "warning", found, remedy)


def champions(case: Case) -> Iterator[Finding]:
    """Every champion can be loaded."""
    try:
        stores = (case.store, case.store.shared)
    except StoreError:
        return  # it is not a folder, which `store` tells
    for models in stores:
        broken = list(_broken(models))
        yield from broken[:TOLD]
        if len(broken) > TOLD:
            found = f"{len(broken) - TOLD} more champions in {models.root} cannot be loaded"
            yield Finding("champions", "wrong", found, "`tidecast doctor` tells the next ones once these are mended")


def _broken(models: ModelStore) -> Iterator[Finding]:
    try:
        served = models.served()
    except (OSError, ValueError, LookupError, TypeError) as exc:
        found = f"a series.json in {models.root} cannot be read: {exc}"
        yield Finding(
            "champions", "wrong", found, "restore the store, or delete that series' directory and train it anew"
        )
        return
    for series in served:
        try:
            models.load(series)
        except StoreError as exc:
            remedy = f"`tidecast models promote` another version of {series!r}, or train it anew"
            yield Finding("pointer", "wrong", str(exc), remedy)
        except (ModelError, OSError) as exc:
            remedy = f"`tidecast models rollback {series}`, train it anew, or restore the file"
            yield Finding("champions", "wrong", f"the champion of {series!r} cannot be loaded: {exc}", remedy)
