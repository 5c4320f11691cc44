"""The report on a reading of a watched series: bits that name its events, and the numbers of these events."""

import numpy as np

BEGINS, ENDS = 1, 2  # of an anomaly
STUCK, UNSTUCK = 8, 16
SILENT, BACK = 32, 64
JUMPED = 128  # the level has jumped
USUAL_JUMP = 256  # the same, as it often does: not an event
SLOWLY = 512  # the level has changed slowly
FACTS = np.dtype(
    (
        np.record,
        [
            ("rarity", np.float64),  # of every reading; the numbers below are written only with their events
            ("anomaly_since", np.float64),  # times, epoch milliseconds
            ("stuck_since", np.float64),
            ("stuck_within", np.float64),  # the value has stayed as near; 0: it has not changed
            ("silent_since", np.float64),
            ("due", np.float64),  # when the series counted as silent
            ("level_since", np.float64),  # NaN: not known
            ("old_level", np.float64),
            ("new_level", np.float64),
        ],
    )
)
