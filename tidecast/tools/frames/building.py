"""Build pandas frames, which only the extra `train` needs: pandas is imported by the first call."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Protocol

from tidecast.errors import TidecastError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("unique_id", "ds", "y", "yhat", "yhat_lower", "yhat_upper")
SHOWN = 5  # most series that a warning names
CALLED = 3  # the stack level of a public function's caller, for warnings raised by a helper of that function
DECORATED = CALLED + 1  # the same if the function has a decorator


class ToPandas(Protocol):
    """A frame of another library, such as polars or Arrow, which converts itself."""

    def to_pandas(self) -> Any:
        """Return the pandas form."""


def import_pandas() -> Any:
    """Return the module pandas.

    Raises:
        TidecastError: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError as exc:
        raise TidecastError("frames need pandas: pip install 'tidecast[train]'") from exc
    return pd


def moments(ms: Sequence[int | None]) -> Any:
    """Return epoch milliseconds as a column of times."""
    pd = import_pandas()
    return pd.Series(pd.array(ms, dtype="Int64")).astype("datetime64[ms]").dt.tz_localize(UTC)


def timestamp(ms: int) -> Any:
    """Return epoch milliseconds as a time to compare with a column of times."""
    return import_pandas().Timestamp(ms, unit="ms", tz=UTC)


def in_order(frame: "pd.DataFrame", *between: str) -> "pd.DataFrame":
    """Sort the rows by series, the columns `between` and time."""
    return frame.sort_values(["unique_id", *between, "ds"], kind="stable", ignore_index=True)
