"""Formats of numbers, shares, spans, times and links on the pages."""

import math
from urllib.parse import quote

from tidecast.moments import utc_text

UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))
NOTHING = "-"


def number_text(value: float) -> str:
    """Format a number with five digits: `42.1`, `1.2e+09`."""
    return NOTHING if math.isnan(value) else f"{value:.5g}"


def share_text(value: float) -> str:
    """Format a share in per cent: `91 %`."""
    return NOTHING if math.isnan(value) else f"{round(100 * value)} %"


def age_text(ms: float) -> str:
    """Format a time span in its largest unit: `3 h`."""
    for unit_ms, unit in UNITS:
        if ms >= unit_ms:
            return f"{ms / unit_ms:.0f} {unit}"
    return "now"


def time_text(ms: float) -> str:
    """Format a time in UTC: `2026-03-01 03:00:10`."""
    return utc_text(ms).replace("T", " ").removesuffix("Z") if ms else NOTHING


def count_text(value: float | None) -> str:
    """Format a count with thousands separators: `12,345`."""
    return NOTHING if value is None else f"{value:,.0f}"


def series_path(series: str) -> str:
    """Return the path of a series' page."""
    return f"/series?name={quote(series, safe='')}"
