"""The format on the wire: keys, messages and parsing."""

from tidecast.wire.events import DRIFTS, EVENTS, Event
from tidecast.wire.ids import id_pair, is_entry_id
from tidecast.wire.keys import Keys, common_keys, keys_of, partition_of, repartition_claim_key, repartition_key
from tidecast.wire.layout import Layout, Part, layout_of
from tidecast.wire.messages import (
    DISPOSITIONS,
    MAX_ECHO_BYTES,
    MAX_ECHO_FIELDS,
    REASONS,
    RESERVED,
    DeadLetter,
    Fields,
    Forecast,
    Forecasts,
    Reading,
    is_copy,
)
from tidecast.wire.state_format import SEPARATOR, STATE_FORMAT
from tidecast.wire.steps import Step, field_of, further_fields, steps_of, time_field_of

__all__ = [
    "DISPOSITIONS",
    "DRIFTS",
    "EVENTS",
    "MAX_ECHO_BYTES",
    "MAX_ECHO_FIELDS",
    "REASONS",
    "RESERVED",
    "SEPARATOR",
    "STATE_FORMAT",
    "DeadLetter",
    "Event",
    "Fields",
    "Forecast",
    "Forecasts",
    "Keys",
    "Layout",
    "Part",
    "Reading",
    "Step",
    "common_keys",
    "field_of",
    "further_fields",
    "id_pair",
    "is_copy",
    "is_entry_id",
    "keys_of",
    "layout_of",
    "partition_of",
    "repartition_claim_key",
    "repartition_key",
    "steps_of",
    "time_field_of",
]
