"""Find the column that distinguishes rows of the same time, in a table of several series that is read as one."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from tidecast.arrays import Int64

FEW = 100  # one in this many rows may repeat a time, as after a sensor sent some readings again
TENTH = 10  # one in this many rows, or more, are never few
HALF = 2
MOST_CANDIDATES = 10  # most columns that are tried in pairs


def is_few(repeated: int, rows: int) -> bool:
    """Return whether the repeated times are so few that a sensor or a clock may have caused them."""
    return repeated <= max(3, rows // FEW) and TENTH * repeated < rows


def repeats(moments: Int64) -> int:
    """Count the rows that repeat the moment of an earlier row."""
    return len(moments) - len(np.unique(moments))


def distinguishing_columns(moments: Int64, columns: Mapping[str, Int64], rows: Int64) -> tuple[str, ...]:
    """Return the column, or the two columns, that distinguish rows of the same moment; else an empty tuple.

    Such a column has a value for each of several series, which recurs at other moments. The values of a measurement
    also differ from row to row, but they do not recur at other moments.

    Args:
        moments: `(kept,)` the same number for rows of one series and time.
        columns: by name, `(all,)` the same number for equal cells.
        rows: `(kept,)` the rows that are not copies of others.
    """
    candidates = {name: codes[rows] for name, codes in columns.items() if _recurs(codes)}
    fitting = [name for name, codes in candidates.items() if _tells_apart(moments, codes)]
    if fitting:
        return (min(fitting, key=lambda name: len(np.unique(candidates[name]))),)
    for pair in combinations(list(candidates)[:MOST_CANDIDATES], 2):
        if _tells_apart(moments, paired(*(candidates[name] for name in pair))):
            return pair
    return ()


def paired(first: Int64, second: Int64) -> Int64:
    """Number the distinct pairs of two columns."""
    pairs: Int64 = np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1]
    return pairs


def without_copies(columns: Sequence[Int64]) -> Int64:
    """Return the rows without copies of earlier rows."""
    rows = np.unique(columns[0], return_inverse=True)[1]
    for column in columns[1:]:
        rows = paired(rows, column)
    return np.sort(np.unique(rows, return_index=True)[1])


def _recurs(codes: Int64) -> bool:
    distinct = len(np.unique(codes))
    return distinct > 1 and HALF * distinct <= len(codes)


def _tells_apart(moments: Int64, codes: Int64) -> bool:
    rows = len(moments)
    repeated = repeats(moments)
    return is_few(repeats(paired(moments, codes)), rows) and (TENTH * repeated > rows or _overlap(moments, codes))


def _overlap(moments: Int64, codes: Int64) -> bool:
    """Return whether most rows outside the largest group share their moment with another row."""
    groups, sizes = np.unique(codes, return_counts=True)
    outside = codes != groups[np.argmax(sizes)]
    _, where, count = np.unique(moments, return_inverse=True, return_counts=True)
    return bool(HALF * np.count_nonzero(count[where][outside] > 1) >= np.count_nonzero(outside))
