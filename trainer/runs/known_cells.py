"""The values and days known ahead of a series, as a cell of a Parquet file."""

from typing import Any

import numpy as np
import pyarrow as pa

from tidecast.models.known.inputs import KnownSeries, SpecialDays
from tidecast.models.known.values import KnownValues

KNOWN = pa.struct(
    {
        "values": pa.list_(
            pa.struct(
                {
                    "source": pa.string(),  # a series or a pattern
                    "name": pa.string(),
                    "ts": pa.list_(pa.int64()),
                    "known_at": pa.list_(pa.int64()),
                    "values": pa.list_(pa.float64()),
                }
            )
        ),
        "days": pa.list_(pa.int64()),
        "first": pa.int64(),
        "last": pa.int64(),
        "offsets": pa.list_(pa.list_(pa.int64())),
        "computed": pa.list_(pa.string()),
    }
)


def known_cell(known: KnownSeries | None) -> dict[str, Any] | None:
    """Return the cell; None without known inputs."""
    if known is None:
        return None
    names = ("source", "name", "ts", "known_at", "values")
    special = known.special
    return {
        "values": [dict(zip(names, each, strict=True)) for each in known.values.of(known.series)],
        "days": list(special.days),
        "first": special.first,
        "last": special.last,
        "offsets": [list(each) for each in special.offsets],
        "computed": list(known.computed),
    }


def known_of_cell(series: str, cell: Any) -> KnownSeries | None:
    """Return the known inputs in the cell of a series."""
    if not cell.is_valid:
        return None
    values = KnownValues()
    for each in cell["values"]:
        arrays = (np.array(each[name].values) for name in ("ts", "values", "known_at"))
        values.add(each["source"].as_py(), each["name"].as_py(), *arrays)
    plain = {name: cell[name].as_py() for name in ("days", "first", "last", "offsets", "computed")}
    offsets = tuple((start, offset) for start, offset in plain["offsets"])
    special = SpecialDays(tuple(plain["days"]), plain["first"], plain["last"], offsets)
    return KnownSeries(series, values, special, tuple(plain["computed"]))
