"""The rows of `SERIES`, one for each series of a partition, as the compiled loops of a batch read them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SERIES = np.dtype(
    [
        ("window", np.int64),  # the address of the window's numbers
        ("record", np.int64),  # the address of the record
        ("online", np.int64),  # the address of the numbers of the experts that learn from every reading
        ("width", np.int64),  # the number of features
        ("rows_read", np.int64),  # how many rows the experts read
        ("slab", np.int64),  # the number of its model's slab, or NONE
        ("model", np.int64),  # the model's row in the slab
        ("cohort", np.int64),  # the number of its model's cohort, or NONE
        ("seasons", np.int64, (2,)),  # the seasons of its model, in rows, 0: none; or `CALENDAR` without a model
        ("version", np.int64),  # the version of its model; 0: it has none
        ("first_errors", np.int64),  # the address of the model's first errors; the model's slot keeps them alive
        ("half_width", np.float64),  # the model's
        ("trained_until", np.int64),  # epoch milliseconds: a model is not judged by readings up to then
        ("largest_move", np.float64),  # of the model's history; 0: not known; or `WITHOUT_MODEL`
        ("lowest", np.float64),  # the lowest value of that history
        ("highest", np.float64),  # the highest value of that history
        ("tested", np.int64),  # 1 if its champion is compared with a loaded shadow
        ("own", np.int64),  # 1 if its model has an expert of the user's own
        ("plain", np.int64),  # 1 if its state has no shadow test
        ("rule", np.int64),  # the address of the rule of its anomalies; 0: it is not watched
        ("due", np.float64),  # when it counts as silent, epoch milliseconds; 0: it is not watched
        ("stored_names", np.int64, (2,)),  # address and length of the stored names of its features
    ]
)
NONE = -1  # in place of the number of a slab or cohort: the series has no such network
WITHOUT_MODEL = -1.0  # in place of the usual largest move of a model's history
CALENDAR = -1  # in place of a model's season: the series has no model

SeriesRows = NDArray[Any]  # `(n,)` of SERIES


def series_rows(n: int, **fields: Any) -> SeriesRows:
    """Return `n` rows with these fields, each a number or `(n,)`; the others are 0."""
    rows = np.zeros(n, SERIES)
    for name, numbers in fields.items():
        rows[name] = numbers
    return rows
