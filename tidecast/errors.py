"""Every error that Tidecast raises on purpose; each message says what, the value and the remedy."""


class TidecastError(Exception):
    """The root: catch this to catch everything Tidecast raises on purpose."""


class SettingsError(TidecastError):
    """A setting is missing, unknown or out of range."""


class ClosedError(TidecastError):
    """A client is used after it was closed."""


class BadReading(TidecastError, ValueError):  # noqa: N818 - it names the thing, as `DeadLetter` does
    """A reading that cannot be answered; `reason` is the dead letter's code, the message its sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ModelError(TidecastError):
    """A model file that is not whole, not ours, or not what its spec declares."""


class StoreError(TidecastError):
    """The model store lacks what was asked of it."""


class HistoryError(TidecastError):
    """A history that cannot be read: the message names the file, the row or series, and the remedy."""


class MissingAnswers(UserWarning):
    """Some of the series or readings that were asked for are not in the answer: the message names them and says why."""


class StreamError(TidecastError):
    """Redis holds something that this worker cannot work with."""


class Fenced(StreamError):  # noqa: N818 - the term of the literature
    """Another worker has taken the partition: drop its memory and acquire it anew."""


class Conflict(StreamError):  # noqa: N818 - the script's own word
    """The committed offset is not the one this batch started from: reload the state."""


class Unavailable(StreamError):  # noqa: N818 - it names the moment
    """Redis refuses for now and has done nothing, so the same may be sent again; `code` is its word, such as OOM."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class StateError(StreamError):
    """Stored state of another format: written by another version of the worker."""
