"""All errors that Tidecast raises on purpose; each message has the problem, the value and the remedy."""


class TidecastError(Exception):
    """The root class of all errors that Tidecast raises on purpose."""


class SettingsError(TidecastError):
    """A setting is missing, unknown or out of range."""


class ClosedError(TidecastError):
    """A client was used after it was closed."""


class BadReading(TidecastError, ValueError):  # noqa: N818 - it names the thing, as `DeadLetter` does
    """A reading that cannot be processed; `reason` is the dead letter's code, the message its sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ModelError(TidecastError):
    """A model file that is damaged, not from Tidecast, or does not match its spec."""


class StoreError(TidecastError):
    """The model store lacks a model, or cannot be used."""


class HistoryError(TidecastError):
    """A history that cannot be read; the message has the file, the row or series, and the remedy."""


class MissingAnswers(UserWarning):
    """Some requested series or readings are missing in the result; the message has their names and the reason."""


class StreamError(TidecastError):
    """Redis holds data that this worker cannot use."""


class Fenced(StreamError):  # noqa: N818 - the term of the literature
    """Another worker has taken the partition: drop its memory and acquire the lease again."""


class Conflict(StreamError):  # noqa: N818 - the script's own word
    """The committed offset is not the one that this batch started from: reload the state."""


class Unavailable(StreamError):  # noqa: N818 - it names the moment
    """Redis refused a command for now without any effect, so it may be repeated; `code` is, for example, OOM."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class StateError(StreamError):
    """The stored state has another format, because another version of the worker wrote it."""
