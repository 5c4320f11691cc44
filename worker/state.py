"""What the worker remembers of a series, and the bytes in which every commit stores it.

The layout, little-endian: one header, the names of the features after the first, the steps seen, the bits of the
filled rows, the experts' errors and standing answers, the interval trackers, what stands for further steps, the rows.
"""

import struct
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from tidecast.errors import StateError
from tidecast.experts import EXPERTS, HALF_LIVES
from tidecast.windows import Float, Window
from worker.scoring import Tracker

VERSION = 2
# version, length, capacity, width, steps seen, bytes of names, trackers, further steps; last ts, step (0: not a
# model's);
# forecast standing (NaN: none), the version last heard (0: none).
_HEADER = struct.Struct("<BHHHBHBBqddI")
_SEPARATOR = "\x1f"  # a control character, which no field name holds
_RECORDS = (len(HALF_LIVES), len(EXPERTS))
_BLEND = (len(HALF_LIVES) + 1) * len(EXPERTS)  # numbers
_TRACKER = struct.Struct("<dIdd")  # the half-width standing (NaN: unknown), and the tracker's own numbers


def _no_errors() -> Float:
    return np.full(_RECORDS, np.nan)


def _no_answers() -> Float:
    return np.full(len(EXPERTS), np.nan)


@dataclass(slots=True)
class SeriesState:
    """One series: its features, its window, the forecast that stands and how well every expert did."""

    features: tuple[str, ...]
    window: Window
    errors: Float = field(default_factory=_no_errors)  # (records, experts) discounted, NaN: none known
    answers: Float = field(default_factory=_no_answers)  # (experts,) standing, NaN: none
    standing: float | None = None  # the forecast that the next reading will settle, in the series' unit
    trackers: list[Tracker] = field(default_factory=list)  # one for each level
    version: int = 0  # the model that the errors belong to; 0: none has answered yet
    ahead: Float = field(default_factory=lambda: np.zeros((0, 1)))  # (further steps, further steps + 1) standing
    ahead_trackers: list[Tracker] = field(default_factory=list)  # one for each further step

    def wear(self, features: tuple[str, ...], capacity: int, step_ms: float | None, *, gridded: bool) -> None:
        """Take the shape that a model needs, keeping what is known; another target has nothing to keep but the time."""
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        self.window.step_ms, self.window.gridded = step_ms, gridded
        if features[0] != self.features[0]:
            self.window.clear()
            self.standing, self.trackers, self.version = None, [], 0
            self.errors, self.answers = _no_errors(), _no_answers()
            self.ahead, self.ahead_trackers = np.zeros((0, 1)), []
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
            len(self.trackers),
            len(self.ahead),
            window.last_ts,
            window.step_ms or 0.0,
            np.nan if self.standing is None else self.standing,
            self.version,
        )
        steps = struct.pack(f"<{len(window.steps_seen)}q", *window.steps_seen)
        filled = window.filled.to_bytes((window.length + 7) // 8, "little")
        trackers = b"".join(_TRACKER.pack(*tracker.numbers()) for tracker in (*self.trackers, *self.ahead_trackers))
        blend = (self.errors.tobytes(), self.answers.tobytes())
        return b"".join((header, names, steps, filled, *blend, trackers, self.ahead.tobytes(), window.rows.tobytes()))

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
        length, capacity, width, steps, names, levels, further, last_ts, step_ms, standing, version = head[1:]
        window = Window(capacity, width)
        at = _HEADER.size
        features = tuple(raw[at : at + names].decode().split(_SEPARATOR))
        at += names
        window.steps_seen = list(struct.unpack_from(f"<{steps}q", raw, at))
        at += 8 * steps
        window.filled = int.from_bytes(raw[at : at + (length + 7) // 8], "little")
        at += (length + 7) // 8
        blend = np.frombuffer(raw, np.float64, _BLEND, at).copy()
        at += blend.nbytes
        trackers = [Tracker.of(*_TRACKER.unpack_from(raw, at + i * _TRACKER.size)) for i in range(levels + further)]
        at += len(trackers) * _TRACKER.size
        ahead = np.frombuffer(raw, np.float64, further * (further + 1), at).reshape(further, further + 1).copy()
        at += ahead.nbytes
        window.buffer[:length] = np.frombuffer(raw, np.float64, length * width, at).reshape(length, width)
        window.end = window.length = length
        window.last_ts, window.step_ms = last_ts, step_ms or None
        return cls(
            features,
            window,
            blend[: -len(EXPERTS)].reshape(_RECORDS),
            blend[-len(EXPERTS) :],
            None if np.isnan(standing) else standing,
            trackers[:levels],
            version,
            ahead if further else np.zeros((0, 1)),
            trackers[levels:],
        )
