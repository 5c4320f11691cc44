"""A series of a partition with its state and its models."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidecast.online.slab import ModelSlot

if TYPE_CHECKING:
    from tidecast.online.series.state import SeriesState


@dataclass(slots=True)
class SeriesEntry:
    """A series of the partition with its models in the engine.

    Attributes:
        number: of the series in the partition.
        series: its name.
        state: its state.
        muted: whether no event reports its anomalies.
        rule: the address of the rule of its anomalies.
        slot: its model.
        shadow: the former champion, while the current one is on probation.
    """

    number: int
    series: str
    state: "SeriesState"
    muted: bool
    rule: int
    slot: ModelSlot | None = None
    shadow: ModelSlot | None = None
