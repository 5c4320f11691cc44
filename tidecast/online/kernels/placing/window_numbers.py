"""The numbers of a window in memory; the compiled loops reach its rows by their addresses.

The first numbers are stored, as `wire/state_format.py` describes them.
"""

import numpy as np

from tidecast.online.kernels.pointers import record_at
from tidecast.wire.state_format import SEASONS, WINDOW_FIELDS

NEVER = -(2**63)  # milliseconds: stands for the time of the newest reading before the first one
WINDOW_IN_MEMORY = np.dtype(
    (
        np.record,
        [
            *WINDOW_FIELDS,
            ("end", np.int64),  # one past the newest row in the buffer
            ("unsaved", np.int64),  # how many of the newest rows are not yet stored
            ("gridded", np.int64),  # 0: each reading is the row after the last
            ("room", np.int64),  # rows of the buffer
            ("buffer", np.int64),  # address of the rows, `(room, width)`
            ("filled", np.int64),  # address of the marks of interpolated rows, `(room,)`
            ("bins", np.int64),  # address of the profiles' bins, `(SEASONS, MOST_BINS)`; 0 without profiles
            ("unsaved_bins", np.int64, (SEASONS,)),  # bits of the blocks of bins that are not yet stored
        ],
    )
)
window_at = record_at(WINDOW_IN_MEMORY)
