"""What the worker remembers of a series, and the bytes in which every commit stores it.

The layout, little-endian: one header, the names of the features after the first, the steps seen, the bits of the
filled rows, the rows.
"""

import struct
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from tidecast.errors import StateError
from tidecast.windows import Window
from worker.scoring import Tracker

VERSION = 1
# version, length, capacity, width, steps seen, bytes of names; last ts, step (0: not a model's);
# forecast standing (NaN: none), its half-width (NaN: unknown), the version last heard (0: none); tracker: errors,
# half-width, mean error.
_HEADER = struct.Struct("<BHHHBHqdddI" + "Idd")
_SEPARATOR = "\x1f"  # a control character, which no field name holds


@dataclass(slots=True)
class SeriesState:
    """One series: its features, its window, the forecast that stands and how well forecasts did."""

    features: tuple[str, ...]
    window: Window
    tracker: Tracker = field(default_factory=Tracker)
    standing: float | None = None  # the forecast that the next reading will settle, in the series' unit
    standing_half: float | None = None  # half the width of its interval
    version: int = 0  # the model that the tracker's errors belong to; 0: none has answered yet

    def wear(self, features: tuple[str, ...], capacity: int, step_ms: float | None) -> None:
        """Take the shape that a model needs, keeping what is known; another target has nothing to keep but the time."""
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        self.window.step_ms = step_ms
        if features[0] != self.features[0]:
            self.window.clear()
            self.standing = self.standing_half = None
            self.tracker, self.version = Tracker(), 0
        self.features = features

    def encode(self) -> bytes:
        """The state as bytes, equal for equal states."""
        window = self.window
        names = _SEPARATOR.join(self.features).encode()
        header = _HEADER.pack(
            VERSION,
            window.length,
            window.capacity,
            len(self.features),
            len(window.steps_seen),
            len(names),
            window.last_ts,
            window.step_ms or 0.0,
            np.nan if self.standing is None else self.standing,
            np.nan if self.standing_half is None else self.standing_half,
            self.version,
            self.tracker.errors,
            self.tracker.half_width,
            self.tracker.mean_error,
        )
        steps = struct.pack(f"<{len(window.steps_seen)}q", *window.steps_seen)
        filled = window.filled.to_bytes((window.length + 7) // 8, "little")
        return b"".join((header, names, steps, filled, window.rows.tobytes()))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a state.

        Raises:
            StateError: the bytes are of another version or cut short.
        """
        if not raw or raw[0] != VERSION:
            found = raw[0] if raw else "none"
            raise StateError(f"state format {found}, this worker reads {VERSION}: run the worker that wrote it")
        try:
            return cls._decode(raw)
        except (struct.error, ValueError) as exc:
            raise StateError(f"a state of {len(raw)} bytes is cut short ({exc}): restore Redis, or delete it") from exc

    @classmethod
    def _decode(cls, raw: bytes) -> Self:
        head = _HEADER.unpack_from(raw)
        length, capacity, width, steps, names, last_ts, step_ms, standing, standing_half, version = head[1:11]
        window = Window(capacity, width)
        at = _HEADER.size
        features = tuple(raw[at : at + names].decode().split(_SEPARATOR))
        at += names
        window.steps_seen = list(struct.unpack_from(f"<{steps}q", raw, at))
        at += 8 * steps
        window.filled = int.from_bytes(raw[at : at + (length + 7) // 8], "little")
        at += (length + 7) // 8
        window.buffer[:length] = np.frombuffer(raw, np.float64, length * width, at).reshape(length, width)
        window.end = window.length = length
        window.last_ts, window.step_ms = last_ts, step_ms or None
        return cls(
            features,
            window,
            Tracker(*head[11:]),
            None if np.isnan(standing) else standing,
            None if np.isnan(standing_half) else standing_half,
            version,
        )
