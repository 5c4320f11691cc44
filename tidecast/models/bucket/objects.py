"""Objects under a prefix of a bucket, with writes that fail if another machine was faster."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from tidecast.errors import SettingsError, StoreError

T = TypeVar("T")

TIMEOUT = "30s"  # of one request
RETRIES: Any = {"max_retries": 3}


class StoredObject(NamedTuple):
    """The content of an object, and the tag that changes with it."""

    content: bytes
    tag: str


class Bucket:
    """The objects under a prefix.

    Args:
        url: `s3://bucket/prefix`, or the address of another object storage that `obstore` knows. The keys come from the
            environment, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL.

    Raises:
        SettingsError: the package is not installed, or the address is not valid.
    """

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as exc:
            raise SettingsError("a bucket needs obstore: pip install 'tidecast[bucket]'") from exc
        self.url = url.rstrip("/")
        self._library: Any = obstore
        try:
            options: Any = {"timeout": TIMEOUT, "allow_http": True}  # http only if AWS_ENDPOINT_URL says so
            self._objects: Any = from_url(self.url, client_options=options, retry_config=RETRIES)
        except Exception as exc:
            raise SettingsError(
                f"setting bucket.url = {url!r} cannot be used ({_text(exc)}): write s3://bucket/prefix"
            ) from exc

    def read(self, name: str) -> StoredObject | None:
        """Return an object, None if it does not exist; raise StoreError if the bucket cannot be read."""

        def get() -> StoredObject:
            result = self._library.get(self._objects, name)
            return StoredObject(bytes(result.bytes()), result.meta["e_tag"])

        try:
            return self._do(get)
        except FileNotFoundError:
            return None

    def create(self, name: str, content: bytes) -> str | None:
        """Write a new object; return its tag, None if the name is taken.

        Raises:
            StoreError: the bucket cannot be written.
        """
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Write an object if it still has a tag, or still does not exist; return its new tag, else None.

        Raises:
            StoreError: the bucket cannot be written.
        """
        return self._put(name, content, {"e_tag": tag} if tag else "create")

    def tags(self, folder: str) -> dict[str, str]:
        """Return the tags of all objects of a folder, by their names without it; raise StoreError if it fails."""

        def collect() -> dict[str, str]:
            pages = self._library.list(self._objects, folder)
            return {entry["path"].removeprefix(f"{folder}/"): entry["e_tag"] for page in pages for entry in page}

        return self._do(collect)

    def older_than(self, folder: str, moment: float) -> list[str]:
        """Return the names of the objects of a folder that were written before a moment.

        Args:
            folder: the folder.
            moment: epoch seconds by the bucket's clock.

        Raises:
            StoreError: the bucket cannot be read.
        """

        def collect() -> list[str]:
            pages = self._library.list(self._objects, folder)
            entries = (entry for page in pages for entry in page)
            return [entry["path"] for entry in entries if entry["last_modified"].timestamp() < moment]

        return self._do(collect)

    def delete(self, *names: str) -> None:
        """Delete objects; those that do not exist do not matter. Raise StoreError if the bucket cannot be written."""

        def delete() -> None:
            with suppress(FileNotFoundError):
                self._library.delete(self._objects, list(names))

        if names:
            self._do(delete)

    def _put(self, name: str, content: bytes, mode: Any) -> str | None:
        failures = (self._library.exceptions.AlreadyExistsError, self._library.exceptions.PreconditionError)

        def put() -> str | None:
            try:
                tag: str = self._library.put(self._objects, name, content, mode=mode)["e_tag"]
            except failures:
                return None
            except FileNotFoundError:  # it was deleted since its tag was read
                return None
            return tag

        return self._do(put)

    def _do(self, request: Callable[[], T]) -> T:
        """Carry out a request; raise StoreError with a remedy if it fails."""
        try:
            return request()
        except FileNotFoundError:
            raise
        except (self._library.exceptions.BaseError, OSError) as exc:
            raise StoreError(
                f"the bucket {self.url} cannot be used ({_text(exc)}): check the address, the keys and the network"
            ) from exc


def _text(exc: Exception) -> str:
    """Return the first line of an error; the others are for developers of the library."""
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
