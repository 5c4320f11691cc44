"""How much the pretrained network reads, and with it the network of a cohort, which is tuned from it."""

from tidecast.arrays import Int64

WINDOW = 32  # rows
SEASONS = 2  # season lengths that it can be given
BEFORE = 96  # rows before the window that count in the far level
USUAL = 3 + 3 * SEASONS + 1  # the first of the inputs that read more than two seasons
CHANNELS = USUAL + 3
LEAST_ROWS = 4


def rows_read(seasons: Int64) -> int:
    """Return how many rows the network reads; further rows only make its means over past seasons longer.

    Args:
        seasons: `(SEASONS,)` season lengths in rows; 0: not known.
    """
    return WINDOW + max(BEFORE, 2 * int(seasons[0]), int(seasons[1]))
