"""Check that no series is anomalous, stuck, silent or degraded."""

from collections.abc import Iterator

from tidecast.connection.conditions import conditions_text, series_in_trouble
from tidecast.doctor.finding import Case, Finding
from tidecast.online.series.condition import state_of_head
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.wire import layout_of

EVENTS_READ = 10_000  # newest


def conditions(case: Case) -> Iterator[Finding]:
    """Check that every series is in order, by the conditions that the workers have stored."""
    layout = layout_of(case.settings)
    troubled = series_in_trouble(case.redis, layout, state_of_head, SERIES_STATES[-1], EVENTS_READ)
    if troubled:
        remedy = "`tidecast events --once --series NAME` shows since when: check the sensor and its sender"
        yield Finding("conditions", "warning", f"series are not in order: {conditions_text(troubled)}", remedy)
