"""The stored state of a series: one definition of its bytes, for the worker, the doctor and the dashboard.

A state is one head and as many blocks of rows as its window spans. The newest block lies in the head until it is full;
full ones have fields of their own, in a ring. So most readings write a single field, however long the window is. A
block stores its number, so that an overwritten or stale field is detected.

The head, little-endian: sizes; packed numbers; the names of the features; the newest block, unless it is full. The
numbers are those of the window and of the record with its further steps, as they lie in memory; a champion's shadow
test. They are packed without words of 4 bytes that are 0, a fifth to a half of all: one bit for each word, the first
lowest, which is 1 if the word follows; then these words. A block: its number, the bits of its filled rows, its rows.

The profile of a season too long for the window is stored in blocks of bins, in fields with numbers below 0. A commit
writes those that have changed. Each holds the number of its profile, so that a block of a former one is detected.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bools, Float, Float32

STATE_FORMAT = 21  # the first byte of a head; another number, order or meaning of the numbers below raises it
SEPARATOR = "\x1f"  # before a block's number in its field: a control character, which a series name cannot contain
BLOCK = 32  # rows that are stored together
EXPERTS = 18  # as many as in `models/experts.py`
ERROR_RECORDS = 2  # one for each half-life
SEASONS = 2  # of a series
MOST_BINS = 1440  # of a profile: one for each minute of a day
BIN_BLOCK = 32  # bins that are stored together
STEPS_REMEMBERED = 15  # enough for a median that a few odd steps do not change
MOST_ROWS = 2**20  # of a window: more than any setting or model needs
NUMBER = 8  # bytes
# Format, levels, further steps, whether a shadow test runs, bytes of names; then the bytes of the newest block.
HEADER = struct.Struct("<BBBBII")
BLOCK_HEADER = struct.Struct("<QI")  # the block's number, the bits of its filled rows: the last row lowest
BIN_HEADER = struct.Struct("<I")  # the profile's number
BIN_BLOCKS = -(-MOST_BINS // BIN_BLOCK)  # of a profile at most

Fields = list[Any]  # of a structured dtype


def _floats(*names: str) -> Fields:
    return [(name, np.float64) for name in names]


def _singles(*names: str) -> Fields:
    return [(name, np.float32) for name in names]


PROFILE_FIELDS: Fields = [  # as in `online/kernels/placing/profiles.py`
    *_floats("period"),  # of the season, in milliseconds; 0 without a profile
    ("number", np.int64),  # of this profile among those of the series
    ("bins", np.int64),
    ("next_row", np.int64),  # the number of the next row to learn from
    ("open", np.int64),  # the bin of the newest row learned from
    ("closed", np.int64),  # the bin before it, which is learned when the open one is closed
    *_singles("learned"),  # bins, over all seasons
    *_singles("reference"),  # to which the bins are relative
    *_singles("open_rows", "open_sum"),  # rows in the open bin, and their sum
    *_singles("closed_rows", "closed_mean"),
]
PROFILE = np.dtype((np.record, PROFILE_FIELDS))
WINDOW_FIELDS: Fields = [
    ("length", np.int64),  # rows
    ("capacity", np.int64),  # rows at most
    ("width", np.int64),  # features
    ("appended", np.int64),  # the number of the row after the newest
    ("last_ts", np.int64),  # the newest reading's time, epoch milliseconds
    ("step_ms", np.float64),  # the model's step; 0: the median of the newest steps is used
    ("steps_seen", np.int64),
    ("steps", np.int64, (STEPS_REMEMBERED,)),  # the newest, oldest first, in milliseconds
    # As in `models/gross_errors.py`:
    ("largest_move", np.float64),  # of recent readings
    ("newest_doubted", np.float64),  # the newest reading that was doubted
    ("recurring", np.float64, (2,)),  # the newest values that were doubted and then believed, newest first; 0: none
    # Of the two seasons, where they are too long for the window:
    ("profile", PROFILE),
    ("long_profile", PROFILE),
]
WINDOW = np.dtype((np.record, WINDOW_FIELDS))
GUARD = np.dtype((np.record, _floats("blended", "alert", "regret")))  # the last blend; as in `OutlierGuard`
DRIFT = np.dtype(
    (
        np.record,
        [
            *_singles("seen", "pairs"),  # readings; those with a known reading a season before
            # No alarm until that many readings; readings that stayed away since the signed errors detected a jump.
            *_singles("quiet", "stayed"),
            # Readings that confirm an alarm from the distance, less those that contradict it; readings since; 0: none.
            *_singles("confirmed", "waited"),
            *_floats("error", "error_sum"),  # mean |error|; its sum
            *_floats("center", "spread"),  # mean reading; mean distance from it
            *_floats("up", "down"),  # sums of the signed errors
            *_floats("distance", "level_sum"),  # mean distance from the reading a season before; its sum
            # The drifting mean of that distance, signed; mean of |distance less it|; its sum.
            *_floats("shift", "rest", "season_sum"),
            *_floats("lstm_weight", "lost_weight"),  # mean weight of the own LSTM; sum of its losses
            *_floats("statistic"),  # the last alarm's sum, in thresholds
            *_floats("near", "jump"),  # the recent level, or the one before a jump; the last detected jump, signed
        ],
    )
)
TRACKER = np.dtype(
    (
        np.record,
        # The half-width of the pending forecast; the number of errors behind the half-width; it; the mean error.
        _floats("pending", "errors", "half_width", "mean_error"),
    )
)
FURTHER_LEARNED = 5  # numbers of each further step, beside a multiplier for each level
ONLINE_TERMS = 12  # as many as in `online/kernels/online_linear.py`
ONLINE = np.dtype(
    (
        np.record,
        [
            *_floats("newest"),  # the newest value; NaN before the first reading
            *_floats("scale"),  # mean |change|; 0: not known
            ("levels", np.float64, (2,)),  # smoothed levels, less the newest value
            # Discounted sums of products of the terms, the lower triangle row by row, and of each with the next change.
            ("moments", np.float32, (ONLINE_TERMS * (ONLINE_TERMS + 1) // 2,)),
            ("products", np.float32, (ONLINE_TERMS,)),
            ("terms", np.float32, (ONLINE_TERMS,)),  # of the pending forecasts, in scales
            ("move", np.float32),  # the pending change of the largest expert, in scales
            ("error", np.float32),  # its mean |error|, in scales
            ("seen", np.float32),  # changes since the first that is not 0
            ("pending", np.float32),  # 1 while forecasts are pending
        ],
    )
)
ANOMALY = np.dtype(  # as in `online/kernels/detection/anomalies.py`
    (
        np.record,
        [
            *_floats("usual"),  # level
            *_singles("recent", "error"),  # the recent level's distance from it; the recent mean error
            # For each way of seeing a reading: the limit of usual sizes; the mean excess over it, in limits; how many
            # sizes were beyond it.
            *((name, np.float32, (4,)) for name in ("limits", "excesses", "beyond")),
            *_singles("seen"),  # readings
            *_singles("rarity"),  # of the newest reading, as a decimal logarithm
            *_singles("lasted"),  # readings in a row that were unusual, the newest last
            *_singles("raised"),  # how much rarer than by the rule the next anomaly must be
            # How many readings are left: of the cool-down; until an error counts as a new one; until an anomaly ends.
            *_singles("cooling", "restless", "until_end"),
            *_singles("surprise"),  # the newest reading's rarity, whatever the rule ignores
            # The error with which the series often moves on for good, and how often it has, discounted; the forecast
            # for the newest reading, and 1 if that reading was counted as such a move.
            *_singles("jump", "jumps", "before", "counted"),
        ],
    )
)
# As in `arrivals.py`, `standstills.py`, `flatlines.py` and `level_jumps.py` of `online/kernels/detection/`.
WATCH = np.dtype(
    (
        np.record,
        [
            *_floats("ts", "value"),  # of the newest reading that was not doubted; NaN before the first
            # When the newest reading arrived, and when the series counts as silent; 0: it is not watched. Milliseconds.
            *_floats("arrived", "due"),
            *_floats("changed_ts"),  # the first reading with the present value
            *_floats("anomaly_ts"),  # start of the present anomaly; 0 without one
            *_floats("level", "jump", "jump_ts"),  # recent level; a jump's distance from it, 0: none; its time
            *_singles("gap", "longest_gap", "on_time"),  # between arrivals, ms: mean, longest; readings that came live
            *_singles("run", "longest_run"),  # readings without a change: now, and at most
            *_singles("changing", "rising"),  # share of readings that change the value; share of changes upwards
            *_singles("seen", "step"),  # readings; mean time between them, ms
            # Means of |distance from the level|, |error| and |change|; sums of the signed errors in means of |error|.
            *_singles("away", "error", "move", "up", "down"),
            # Readings that stayed near the level after the jump; the sum of their distances from the level before.
            *_singles("stayed", "jump_sum"),
            *_singles("jumps", "usual_jump"),  # discounted number of lasting jumps; mean size
            *_singles("same_level"),  # readings that are left until a change of level need not be larger than the last
            *_singles("lowest", "highest"),  # values at which the series has stood still
            *_singles("strayed"),  # distance from the first value of a run of values that hardly differ
            ("flat_run", np.uint16),  # changes within such a run: now,
            ("longest_flat", np.uint16),  # and at most
            *_singles("stuck", "silent", "degraded"),  # not 0: the condition holds; `stuck` is STILL or FLAT
        ],
    )
)
SLOW = np.dtype(  # as in `online/kernels/detection/slow_changes.py`
    (
        np.record,
        [
            # For each way of seeing a reading: the recent level; its distance from the former one; the farthest of this
            # swing and of those before; how many readings, and how many swings.
            ("recent", np.float64, (2,)),
            *((name, np.float32, (2,)) for name in ("distance", "swing", "farthest")),
            ("seen", np.uint16, (2,)),
            ("swings", np.uint16, (2,)),
        ],
    )
)
NOISE = np.dtype(  # as in `online/kernels/detection/noise.py`
    (
        np.record,
        [
            ("large", np.uint8),  # large moves of late, less those that are small
            ("full", np.uint8),  # 1: there have been as many as noise has, and it has not ended
            ("waiting", np.uint8),  # readings until an end of noise counts again
        ],
    )
)
RECORD = np.dtype(  # followed by a tracker for each level
    (
        np.record,
        [
            *_floats("pending_forecast"),
            *_floats("last_version"),  # of the model that forecast last, 0 without one
            ("answers", np.float64, (EXPERTS,)),  # the experts' pending forecasts
            ("errors", np.float32, (ERROR_RECORDS, EXPERTS)),
            ("evidence", np.uint8, (EXPERTS,)),  # readings behind each expert's errors
            ("noise", NOISE),
            ("unused", np.uint8, (-(EXPERTS + NOISE.itemsize) % NUMBER,)),  # 0
            ("guard", GUARD),
            ("drift", DRIFT),
            ("online", ONLINE),
            ("watch", WATCH),
            ("slow", SLOW),
            ("anomaly", ANOMALY),
        ],
    )
)
SHADOW_TEST = np.dtype(
    (
        np.record,
        # `readings` are those compared, `differences` and `squares` sums over them. `to_roll_back` is 1 once the former
        # model must replace the new one. `last_ts` is the last reading that the former model has processed.
        _floats("version", "former", "readings", "differences", "squares", "to_roll_back", "last_ts"),
    )
)


def numbers_in(kind: np.dtype[Any]) -> int:
    """Return of how many numbers, of 8 bytes each, a dtype consists."""
    return kind.itemsize // NUMBER


def place_in(kind: np.dtype[Any], name: str) -> int:
    """Return the place of a field among the numbers of a dtype."""
    fields: Any = kind.fields
    return int(fields[name][1]) // NUMBER


def record_numbers(levels: int, further: int = 0) -> int:
    """Return how many numbers a record with so many intervals and further steps has."""
    return numbers_in(RECORD) + numbers_in(TRACKER) * levels + further_numbers(further, levels)


def further_numbers(steps: int, levels: int) -> int:
    """Return how many numbers further steps take, as in `online/kernels/further/intervals.py`.

    First come the number of readings and the pending forecasts, `k + 1` of the k-th further step; then, in float32, the
    half-widths published with them, and for each step what has been learned from its errors.
    """
    if not steps:
        return 0
    pending = pending_numbers(steps)
    return 1 + pending + -(-(pending * levels + steps * (FURTHER_LEARNED + levels)) // 2)


def pending_numbers(steps: int) -> int:
    """Return how many forecasts of further steps are pending."""
    return steps * (steps + 3) // 2


def encode_block(number: int, filled: int, rows: Float) -> bytes:
    """Return the stored bytes of a block."""
    return BLOCK_HEADER.pack(number, filled) + rows.tobytes()


def encode_bins(number: int, bins: Float32) -> bytes:
    """Return the stored bytes of a block of a profile's bins."""
    return BIN_HEADER.pack(number) + bins.tobytes()


def bin_place(season: int, block: int) -> int:
    """Return the number of the field of a block of a season's bins, which is below 0."""
    return -1 - season * BIN_BLOCKS - block


def is_profile(profiles: NDArray[Any]) -> Bools:
    """Return whether the numbers of each `PROFILE` are within their limits."""
    bins = np.maximum(profiles["bins"], 1)
    closed = profiles["closed"]
    sound: Bools = (profiles["open"] >= 0) & (profiles["open"] < bins) & (bins <= MOST_BINS)
    sound &= (closed >= 0) & (closed < bins) & (profiles["bins"] >= 0)
    sound &= (profiles["number"] >= 0) & (profiles["number"] < 2**32)
    return sound & (profiles["period"] >= 0) & (profiles["period"] < np.inf)


def ring(capacity: int) -> int:
    """Return the number of fields in a window's ring: one more than it spans, as it may start inside a block."""
    return -(-capacity // BLOCK) + 1


def block_field(series: str, number: int, capacity: int) -> str:
    """Return the field of a block, by its number and the capacity of its window."""
    return f"{series}{SEPARATOR}{number % ring(capacity)}"


def field_names(series: str, capacity: int) -> list[str]:
    """Return the fields of a series whose window has this capacity: the head, then the blocks."""
    return [series, *(block_field(series, number, capacity) for number in range(ring(capacity)))]


def bin_field_names(series: str) -> list[str]:
    """Return the fields that the profiles of a series may have."""
    places = (bin_place(season, block) for season in range(SEASONS) for block in range(BIN_BLOCKS))
    return [f"{series}{SEPARATOR}{place}" for place in places]
