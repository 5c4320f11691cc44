"""What a model file holds of an expert of the user's own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A fitted expert of the user's own.

    Attributes:
        source: where its code is found, as in the setting `experts.series`.
        rows: how many rows it reads.
        state: what its `state()` has returned.
    """

    source: str
    rows: int
    state: bytes
