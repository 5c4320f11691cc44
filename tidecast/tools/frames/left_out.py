"""Warn about series of a frame that have no answer."""

import warnings
from collections.abc import Sequence

from tidecast.errors import MissingAnswers
from tidecast.files.history import REPEATED, Histories
from tidecast.files.refusal import Refusal
from tidecast.tools.frames.building import DECORATED, SHOWN


def warn_of_left_out(read: Histories, refused: Sequence[Refusal]) -> None:
    """Warn the caller of a function about series that were left out, repeated or answered in part.

    Args:
        read: the histories of the frame.
        refused: the series without an answer, or with fewer than were asked for.
    """
    repeated = [Refusal(h.series, note) for h in read.accepted for note in h.notes if REPEATED in note]
    reasons = (*read.refused, *refused, *repeated)
    if not reasons:
        return
    shown = "; ".join(f"{each.series!r}: {each.reason}" for each in reasons[:SHOWN])
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    count = len({each.series for each in reasons})
    series = len(read.accepted) + len(read.refused)
    what = "were left out or answered in part" if len(reasons) > len(repeated) else "have repeated times"
    message = f"{count} of {series} series {what}: {shown}{more}"
    warnings.warn(message, MissingAnswers, stacklevel=DECORATED)
