"""Check the store: that it exists and can be written, and that every champion can be loaded."""

import errno
import tempfile
from collections.abc import Iterator

from tidecast.doctor.finding import Case, Finding
from tidecast.errors import ModelError, StoreError, TidecastError
from tidecast.models.bucket.mirror import series_behind
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore

ROOM = 2**20  # bytes that must be free in the store
LISTED = 5  # most broken champions that are listed; the others are only counted


def store(case: Case) -> Iterator[Finding]:
    """Check that the store is a directory that this user can write."""
    root = case.settings.store
    retrain = case.settings.retrain
    if not root.exists():
        problem = f"there is no store at {root}, so that no series has a model of its own"
        yield Finding("store", "warning", problem, "train models with `tidecast train`, or correct the setting store")
    elif not root.is_dir():
        yield Finding("store", "error", f"the store {root} is not a directory", "correct the setting store")
    else:
        try:
            with tempfile.TemporaryFile(dir=root) as file:
                file.write(bytes(ROOM))  # a full disk still takes an empty file
        except OSError as exc:
            full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
            problem = f"the store {root} cannot be written ({exc.strerror}), so that nothing can be trained here"
            remedy = "grant this user the right to write there, or train as another user"
            remedy = "free its disk: `tidecast models prune` deletes old versions" if full else remedy
            yield Finding("writable", "error" if full or retrain.asks_for_schedule else "warning", problem, remedy)


def bucket(case: Case) -> Iterator[Finding]:
    """Check that the bucket of the settings can be read, and that its models are in this store."""
    url = case.settings.bucket.url
    if not url:
        return
    try:
        behind = series_behind(case.store, Bucket(url))
    except TidecastError as exc:
        yield Finding("bucket", "error", str(exc), "until then models are not copied to other machines")
        return
    if behind:
        problem = f"{behind} series have a newer model in {url} than in {case.settings.store}"
        yield Finding("bucket", "warning", problem, "a running worker copies them, as does `tidecast models copy`")


def champions(case: Case) -> Iterator[Finding]:
    """Check that every champion can be loaded."""
    try:
        stores = (case.store, case.store.shared)
    except StoreError:
        return  # not a folder, reported by `store`
    for models in stores:
        broken = list(_broken(models))
        yield from broken[:LISTED]
        if len(broken) > LISTED:
            problem = f"{len(broken) - LISTED} more champions in {models.root} cannot be loaded"
            yield Finding(
                "champions", "error", problem, "repair these, then run `tidecast doctor` again for the next ones"
            )


def _broken(models: ModelStore) -> Iterator[Finding]:
    try:
        served = models.served()
    except (OSError, ValueError, LookupError, TypeError) as exc:
        problem = f"a series.json in {models.root} cannot be read: {exc}"
        yield Finding(
            "champions", "error", problem, "restore the store, or delete that series' directory and train it again"
        )
        return
    for series in served:
        try:
            models.load(series)
        except StoreError as exc:
            remedy = f"`tidecast models promote` another version of {series!r}, or train it again"
            yield Finding("pointer", "error", str(exc), remedy)
        except (ModelError, OSError) as exc:
            remedy = f"`tidecast models rollback {series}`, train it again, or restore the file"
            yield Finding("champions", "error", f"the champion of {series!r} cannot be loaded: {exc}", remedy)
