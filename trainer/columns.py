"""Columns of cells as numbers, times and names; what cannot be read so is marked, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tidecast.parsing import LARGEST

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]

MISSING = ("", "nan", "na", "n/a", "null", "none", "nat", "<na>")
FIRST_YEAR, LAST_YEAR = 1678, 2261  # what nanoseconds can hold, so that any tool downstream can draw it

_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_EPOCH = r"^-?[0-9]{1,15}(?:\.[0-9]*)?$"
# Stricter than pandas, which reads "now" and "2020" as times too.
_ISO = r"^[0-9]{4}[-/][0-9]{1,2}(?:[-/][0-9]{1,2}(?:[T ][0-9].*)?)?$"
_TOO_LONG = r"^-?[0-9]{16,}$"  # microseconds or nanoseconds
_COMPACT = r"^(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$"
_OFFSET = r"[T ][0-9]{2}.*(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$"
_SWALLOWED = "goes on over several lines: close or remove its quote"
_FIRST_MS = int(pd.Timestamp(FIRST_YEAR, 1, 1).timestamp()) * 1000
_LAST_MS = int(pd.Timestamp(LAST_YEAR + 1, 1, 1).timestamp()) * 1000


class Kind(IntEnum):
    """How a time is written."""

    NONE = 0  # missing, or no time at all
    LOCAL = 1  # ISO-8601 without offset
    OFFSET = 2  # ISO-8601 with offset
    SECONDS = 3
    MILLISECONDS = 4


SPELLED = {
    Kind.LOCAL: "ISO-8601 without offset",
    Kind.OFFSET: "ISO-8601 with offset",
    Kind.SECONDS: "epoch seconds",
    Kind.MILLISECONDS: "epoch milliseconds",
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers: NaN where missing or bad."""

    values: NDArray[np.float64]  # (rows,)
    bad: Bools  # (rows,) True where the cell is no finite number that float32 can hold


@dataclass(frozen=True, slots=True)
class Times:
    """A column as times: 0 where bad."""

    ms: Int64  # (rows,) epoch milliseconds; of a LOCAL column, as if its clock showed UTC
    bad: Bools  # (rows,) True where missing, unreadable, out of range or of another kind than the column
    kind: Kind


def is_text(column: Any) -> bool:
    """Whether a column's cells are text."""
    return bool(pa.types.is_string(column.type))


def is_number(column: Any) -> bool:
    """Whether a column's type is numeric."""
    kind = column.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(column: Any) -> bool:
    """Whether a column's type is a time or a date."""
    return bool(pa.types.is_timestamp(column.type) or pa.types.is_date(column.type))


def numbers(column: Any) -> Numbers:
    """Read a column of text or numbers, as strictly as the worker reads a reading."""
    if is_text(column):
        text = _stripped(column)
        shaped = pc.match_substring_regex(text, _NUMBER)
        values = _floats(pc.cast(pc.if_else(shaped, text, None), pa.float64()))
        bad = ~_bools(pc.or_(shaped, _is_missing(text)))
    else:
        values = _floats(pc.cast(column, pa.float64(), safe=False))
        bad = np.zeros(len(values), np.bool_)
    bad |= np.abs(values) > LARGEST
    return Numbers(np.where(bad, np.nan, values), bad)


def times(column: Any) -> Times:
    """Read a column of ISO-8601 text, epochs or timestamps; the first time decides how the others are written."""
    if is_time(column):
        ms, kinds = _stamps(column)
    elif is_text(column):
        ms, kinds = _written(_stripped(column))
    else:
        ms, kinds = _epochs(_floats(pc.cast(column, pa.float64(), safe=False)))
    read = kinds != Kind.NONE
    kind = Kind(int(kinds[np.argmax(read)])) if read.any() else Kind.NONE
    bad = ~read | (kinds != kind) | (ms < _FIRST_MS) | (ms >= _LAST_MS)
    return Times(np.where(bad, 0, ms), bad, kind)


def names(column: Any) -> list[str]:
    """Read a column of names; a number keeps its digits."""
    if pa.types.is_floating(column.type):
        whole = pc.cast(column, pa.int64(), safe=False)
        column = whole if pc.all(pc.equal(whole, column)).as_py() else column
    return list(_stripped(pc.cast(column, pa.string())).to_pylist())


def missing(column: Any) -> Bools:
    """Mark the cells that hold nothing."""
    return _bools(_is_missing(_stripped(column)) if is_text(column) else pc.is_null(column, nan_is_null=True))


def is_missing(said: str) -> bool:
    """Whether a cell's text says that nothing is there."""
    return said.strip().lower() in MISSING


def looks_like_data(cells: Sequence[str]) -> bool:
    """Whether a header's cells read like a row: a time among them, or a number first."""
    kinds = _written(_stripped(pa.array(cells)))[1]
    return bool(np.isin(kinds, (Kind.LOCAL, Kind.OFFSET)).any() or kinds[0] != Kind.NONE)


def why_no_epoch(column: Any) -> str | None:
    """Explain integers that are years or dates rather than epochs, and give the remedy; None if they are neither."""
    times = _first_written(column)
    if times is None:
        return None
    if times.isdecimal() and 1500 <= int(times) < 2300:
        return f"{times!r} looks like a year: write {times}-01-01"
    if _matches(times, _COMPACT):
        return f"{times!r} looks like a date: write {times[:4]}-{times[4:6]}-{times[6:]}"
    return None


def why_no_number(said: str) -> str:
    """Explain a bad number and give the remedy."""
    text = said.strip().lower()
    if "\n" in text:
        return _SWALLOWED
    if "," in text:
        return "has a comma: write a point for decimals and nothing between thousands"
    if text.lstrip("+-") in ("inf", "infinity"):
        return "is infinite: write a finite number, or nothing where it is missing"
    if _matches(text, _NUMBER):
        return "is beyond 3.4e38, what float32 can hold: rescale it"
    return "is no number: write one such as 42.1, or nothing where it is missing"


def why_no_time(said: str, kind: Kind) -> str:
    """Explain a bad time in a column of `kind`, and give the remedy."""
    if "\n" in said.strip():
        return _SWALLOWED
    ms, kinds = _written(pa.array([said.strip()]))
    other = Kind(int(kinds[0]))
    micros = _matches(said.strip(), _TOO_LONG)
    if other is Kind.NONE and not micros:
        return "is no time: write ISO-8601 such as 2024-05-01T12:00:00Z, or epoch seconds or milliseconds"
    if micros or not _FIRST_MS <= ms[0] < _LAST_MS:
        return f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}: correct it, or give epoch seconds or milliseconds"
    return f"is {SPELLED[other]}, but the first time is {SPELLED[kind]}: write all of them alike"


def to_utc(local_ms: Int64, series: Int64, zone: ZoneInfo) -> tuple[Int64, int, int]:
    """Bring local times to UTC; returns them, how many were skipped by the clock and how many shown twice.

    A skipped time moves to the first one that exists. Of a time shown twice, a series' first reading is taken as
    before the clock went back, any later one as after it.

    Args:
        local_ms: `(rows,)` as if the clock showed UTC.
        series: `(rows,)` which series each row belongs to, in the file's order.
        zone: the clock's time zone.
    """
    local = pd.DatetimeIndex(local_ms.astype("datetime64[ms]"))
    utc = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    ms: Int64 = utc.as_unit("ms").asi8.copy()
    odd = np.flatnonzero(utc.isna())
    again = pd.DataFrame({"series": series[odd], "local": local_ms[odd]}).duplicated().to_numpy()
    first = local[odd].tz_localize(zone, ambiguous=~again, nonexistent="shift_forward")
    ms[odd] = first.as_unit("ms").asi8
    skipped = int(np.count_nonzero(local[odd].tz_localize(zone, ambiguous=~again, nonexistent="NaT").isna()))
    return ms, skipped, len(odd) - skipped


def _stamps(column: Any) -> tuple[Int64, Int64]:
    zone = getattr(column.type, "tz", None)
    kind = Kind.LOCAL if zone is None else Kind.OFFSET
    stamps = pc.cast(column, pa.timestamp("ms", zone), safe=False)
    ms = pc.fill_null(pc.cast(stamps, pa.int64()), 0).to_numpy()
    return ms, np.where(missing(column), Kind.NONE, kind)


def _written(text: Any) -> tuple[Int64, Int64]:
    text = pc.utf8_upper(text)
    ms, kinds = _epochs(_floats(pc.cast(pc.if_else(pc.match_substring_regex(text, _EPOCH), text, None), pa.float64())))
    iso = _bools(pc.match_substring_regex(text, _ISO))
    if not iso.any():
        return ms, kinds
    written = pd.Series(text.to_pandas()).where(iso)
    stamps = pd.to_datetime(written, format="ISO8601", errors="coerce", utc=True)
    iso &= stamps.notna().to_numpy()
    offset = _bools(pc.match_substring_regex(text, _OFFSET))
    ms[iso] = stamps.dt.as_unit("ms").astype("int64").to_numpy()[iso]
    kinds[iso] = np.where(offset, Kind.OFFSET, Kind.LOCAL)[iso]
    return ms, kinds


def _epochs(values: NDArray[np.float64]) -> tuple[Int64, Int64]:
    # The range in which the worker, too, takes an epoch for seconds: 2001 to 2128.
    seconds = (values >= 1e9) & (values < 5e9)
    read = np.isfinite(values) & (np.abs(values) < 1e16)
    ms = np.rint(np.where(read, values, 0) * np.where(seconds, 1000, 1)).astype(np.int64)
    return ms, np.select([~read, seconds], [Kind.NONE, Kind.SECONDS], Kind.MILLISECONDS).astype(np.int64)


def _first_written(column: Any) -> str | None:
    head = column.slice(0, 1)
    return None if is_time(column) or not len(head) else str(head[0].as_py()).strip()


def _stripped(column: Any) -> Any:
    return pc.utf8_trim_whitespace(pc.fill_null(column, ""))


def _is_missing(text: Any) -> Any:
    return pc.is_in(pc.utf8_lower(text), pa.array(MISSING))


def _matches(text: str, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())


def _floats(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(column, np.nan).to_numpy()
    return values


def _bools(column: Any) -> Bools:
    values: Bools = np.array(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    )
    return values
