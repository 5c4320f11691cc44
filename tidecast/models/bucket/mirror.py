"""Keep a model store and its copy in a bucket the same, whichever of them has changed.

    <url>/pointers/<sha256 of a series' name>                     the champion: a JSON object, see `_Champion`
          versions/<sha256 of a series' name>/000001.safetensors  the champion and the one before it
          shared/…                                                the same for the networks that cohorts share

Every machine has a store of its own, and remembers what it last saw in the bucket. A pointer that has changed on one
side only is copied to the other. If both have changed, the greater version wins. Versions never change, so two machines
that publish different models under one number are an error: train where one store is.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tidecast.durable import replace
from tidecast.errors import StoreError
from tidecast.models.bucket.objects import Bucket
from tidecast.models.storage.file_names import Pointer, version_file
from tidecast.models.store import ModelStore

SEEN = "bucket.json"  # in the store: the pointers as they were last seen in the bucket


@dataclass(frozen=True, slots=True)
class _Champion:
    """The content of a pointer in the bucket; `previous` is the version to roll back to."""

    series: str
    version: int
    published: bool
    previous: int | None
    former: list[str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pointer when both sides were last the same."""

    series: str
    version: int
    tag: str


@dataclass(slots=True)
class Changes:
    """The result of a synchronisation.

    Attributes:
        pushed: series whose pointer was copied to the bucket.
        pulled: series whose pointer was copied from it.
        failures: sentences about series that could not be copied.
    """

    pushed: list[str] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, changes: "Changes") -> None:
        """Add the changes of another store."""
        self.pushed += changes.pushed
        self.pulled += changes.pulled
        self.failures += changes.failures


class Mirror:
    """Copies changes between a store and a bucket.

    Args:
        store: of this machine.
        bucket: the objects.
        folder: the folder of the store's objects, empty or ending with a slash.
    """

    def __init__(self, store: ModelStore, bucket: Bucket, folder: str = "") -> None:
        self._store = store
        self._bucket = bucket
        self._folder = folder
        self._position = 0
        self._seen = _read_seen(store.root)
        self._pending: dict[str, str | None] = {}  # series that are not copied yet, by their keys

    def sync(self, series: Iterable[str] | None = None) -> Changes:
        """Copy all changes since the last call, in both directions.

        Args:
            series: copy only these from and to the bucket; None: all.

        Raises:
            StoreError: the bucket or the store cannot be used.
        """
        tags = self._bucket.tags(f"{self._folder}pointers")
        changes = Changes()
        chosen = self._candidates(tags) if series is None else [(self._key(name), name) for name in series]
        self._pending |= dict(chosen)
        for key, name in chosen:
            try:
                self._sync_series(key, name, tags.get(key), changes)
                self._pending.pop(key, None)
            except (StoreError, OSError) as exc:  # the latter: a file of the store cannot be read or written
                changes.failures.append(str(exc))
        if changes.pushed or changes.pulled:
            with self._store.writing():
                self._store.root.mkdir(parents=True, exist_ok=True)
                content = {key: asdict(seen) for key, seen in self._seen.items()}
                replace(self._store.root / SEEN, json.dumps(content).encode())
        return changes

    def _candidates(self, tags: Mapping[str, str]) -> list[tuple[str, str | None]]:
        """Return the keys that may have changed, with the names of the series as far as they are known here."""
        names: dict[str, str | None] = dict(self._pending)
        is_first = self._position == 0  # then deletions since the last process are not among those that moved
        self._position, moved = self._store.moves_since(self._position)
        names |= {self._key(name): name for name in moved}
        for key in tags.keys() | self._seen.keys():
            seen = self._seen.get(key)
            if is_first or tags.get(key) != (seen and seen.tag):
                names.setdefault(key, seen.series if seen else None)
        return sorted(names.items())

    def _sync_series(self, key: str, name: str | None, tag: str | None, changes: Changes) -> None:
        seen = self._seen.get(key)
        pointer = self._store.pointer(name) if name else None
        here = (pointer and pointer.version) != (seen and seen.version)
        there = tag != (seen and seen.tag)
        if not (here or there):
            return
        remote = self._champion(key) if there and tag else None
        if name and here and (not there or (pointer.version if pointer else 0) > (remote.version if remote else 0)):
            if self._push(key, name, pointer, tag):
                changes.pushed.append(name)
        elif remote and tag:
            if pointer == Pointer(remote.version, remote.published):  # another process has copied it
                self._seen[key] = _Seen(remote.series, remote.version, tag)
            else:
                self._pull(key, remote, tag)
            changes.pulled.append(remote.series)
        elif name and not tag:
            self._store.delete(name)
            self._seen.pop(key, None)
            changes.pulled.append(name)

    def _push(self, key: str, name: str, pointer: Pointer | None, tag: str | None) -> bool:
        """Copy a series to the bucket, or its deletion; return False if the bucket has changed meanwhile."""
        if pointer is None:
            self._bucket.delete(self._pointer(key), *self._version_objects(key))
            self._seen.pop(key, None)
            return True
        previous = self._store.previous(name)
        kept = {version_file(number) for number in (previous, pointer.version) if number is not None}
        for file in sorted(kept):
            content = (self._store.folder(name) / file).read_bytes()
            if not self._bucket.create(self._version(key, file), content):
                self._check_same(key, file, content, name)
        champion = _Champion(name, pointer.version, pointer.published, previous, self._store.former_names(name))
        new_tag = self._bucket.replace(self._pointer(key), json.dumps(asdict(champion)).encode(), tag)
        if new_tag is None:
            return False
        if key in self._seen:
            self._bucket.delete(*(self._version(key, file) for file in self._version_names(key) if file < min(kept)))
        self._seen[key] = _Seen(name, pointer.version, new_tag)
        return True

    def _check_same(self, key: str, file: str, content: bytes, name: str) -> None:
        stored = self._bucket.read(self._version(key, file))
        if stored is None or stored.content != content:
            raise StoreError(
                f"series {name!r}: the bucket has another model as {file}: train with one store only, "
                "or promote the version that shall remain"
            )

    def _pull(self, key: str, champion: _Champion, tag: str) -> None:
        """Copy a series from the bucket, under its new name if it was renamed."""
        store = self._store
        for old in champion.former:
            if store.pointer(old) and not store.pointer(champion.series) and not self._champion(self._key(old)):
                store.rename(old, champion.series)
                self._seen.pop(self._key(old), None)
        present = store.versions(champion.series)
        missing = [
            number for number in (champion.previous, champion.version) if number is not None and number not in present
        ]
        versions = {}
        for number in missing:
            stored = self._bucket.read(self._version(key, version_file(number)))
            if stored is None:
                raise StoreError(f"series {champion.series!r}: version {number} is missing in {self._bucket.url}")
            versions[number] = stored.content
        store.adopt(champion.series, versions, Pointer(champion.version, champion.published), champion.former)
        self._seen[key] = _Seen(champion.series, champion.version, tag)

    def _champion(self, key: str) -> _Champion | None:
        stored = self._bucket.read(self._pointer(key))
        if stored is None:
            return None
        try:
            return _Champion(**json.loads(stored.content))
        except (ValueError, TypeError) as exc:
            raise StoreError(
                f"{self._bucket.url}/{self._pointer(key)} is not a pointer of Tidecast: delete it"
            ) from exc

    def _version_names(self, key: str) -> list[str]:
        return list(self._bucket.tags(f"{self._folder}versions/{key}"))

    def _version_objects(self, key: str) -> list[str]:
        return [self._version(key, file) for file in self._version_names(key)]

    def _key(self, series: str) -> str:
        return self._store.folder(series).name

    def _pointer(self, key: str) -> str:
        return f"{self._folder}pointers/{key}"

    def _version(self, key: str, file: str) -> str:
        return f"{self._folder}versions/{key}/{file}"


def mirrors_of(store: ModelStore, bucket: Bucket) -> tuple[Mirror, Mirror]:
    """Return the mirrors of a store: of the networks that cohorts share, and then of the series, which need those."""
    return Mirror(store.shared, bucket, "shared/"), Mirror(store, bucket)


def copy_changes(store: ModelStore, url: str) -> Changes:
    """Copy all changes between a store and a bucket, in both directions; do nothing without an address.

    Args:
        store: of this machine.
        url: of the bucket, or empty.

    Raises:
        SettingsError: the address cannot be used.
        StoreError: the bucket or the store cannot be used, or a series could not be copied.
    """
    total = Changes()
    if url:
        for mirror in mirrors_of(store, Bucket(url)):
            total.add(mirror.sync())
    if total.failures:
        more = f" ({len(total.failures) - 1} more like it)" if total.failures[1:] else ""
        raise StoreError(f"{total.failures[0]}{more}")
    return total


def series_behind(store: ModelStore, bucket: Bucket) -> int:
    """Return how many series of the bucket this store has not copied yet, or not in their newest version."""
    seen = _read_seen(store.root)
    tags = bucket.tags("pointers")
    return sum(key not in seen or seen[key].tag != tag for key, tag in tags.items())


def _read_seen(root: Path) -> dict[str, _Seen]:
    """Return the pointers last seen in the bucket, by key; if the file cannot be read, all are compared again."""
    try:
        return {key: _Seen(**fields) for key, fields in json.loads((root / SEEN).read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
