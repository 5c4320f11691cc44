"""The rule of anomalies, written plainly with NumPy: all four ways of seeing a reading at once."""

import math
from dataclasses import dataclass, field

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.detection.watch_facts import BEGINS, ENDS
from tidecast.settings import AnomalyRule


def _zeros() -> Float:
    return np.zeros(4)


@dataclass
class AnomalyOracle:
    """The numbers of a series: distances from the usual level and errors, each as they are and smoothed."""

    rule: AnomalyRule
    seen: int = 0
    usual: float = 0.0
    recent: float = 0.0
    error: float = 0.0
    limits: Float = field(default_factory=_zeros)
    excesses: Float = field(default_factory=_zeros)
    beyond: Float = field(default_factory=_zeros)
    raised: float = 0.0
    jump: float = 0.0
    jumps: float = 0.0
    before: float | None = None
    lasted: int = 0
    cooling: int = 0
    since_unusual_error: int = 10
    calm: int = 10
    is_open: bool = False

    def detect(self, y: float, yhat: float) -> tuple[int, float]:
        """Return the bits of a reading and its rarity."""
        self.seen += 1
        error = y - yhat
        rarities = self._learn(self._deviations(y, error))
        least = math.log10(self.rule.threshold) + self.raised
        rarest = float(np.nanmax(rarities))
        unusual = rarest >= least
        fresh = rarities[2] >= least and self.since_unusual_error >= 10
        self.since_unusual_error = 0 if rarities[2] >= 2.2 else self.since_unusual_error + 1
        self.lasted = self.lasted + 1 if unusual else 0
        ready = self.cooling == 0 or fresh
        is_usual = self._jumps_as_often(y, yhat, unusual=self.lasted == 1 and ready and rarities[2] >= 2.2)
        if is_usual:
            self.lasted = 0
        begins = self.lasted >= self.rule.min_duration and ready and not is_usual
        self.cooling = (
            self.rule.cool_down if begins else max(0, (self.rule.cool_down if is_usual else self.cooling) - 1)
        )
        self.raised = self.raised + 0.15 if begins else max(0.0, self.raised - 4.0 * 0.15 / self.rule.threshold)
        return self._bits(begins=begins, calm=rarest < math.log10(self.rule.threshold) - 1), rarest

    def _jumps_as_often(self, y: float, yhat: float, *, unusual: bool) -> bool:
        """Return whether the forecast is wrong by as much as often before, when the readings then stayed there."""
        if self.before is not None and abs(y - self.before) < 0.5 * self.jump:
            self.jumps = max(0.0, self.jumps - 1)
        self.before = None
        self.jumps *= 1 - 1 / self.rule.threshold
        size = abs(y - yhat)
        if not unusual or math.isnan(size):
            return False
        jumps = self.jumps
        if abs(size - self.jump) <= 0.15 * self.jump:
            self.jump = (self.jump * (jumps + 1) + size - self.jump) / (jumps + 1)
            self.jumps = jumps + 1
            self.before = yhat
            return jumps >= 2
        if jumps < 0.5:
            self.jump = size
            self.jumps = 1.0
            self.before = yhat
        else:
            self.jumps -= 0.5
        return False

    def _bits(self, *, begins: bool, calm: bool) -> int:
        was_open = self.is_open
        self.calm = self.calm + 1 if calm and not begins else 0
        self.is_open = begins or (was_open and self.calm < 10)
        return (BEGINS if begins else 0) | (ENDS if was_open and (begins or not self.is_open) else 0)

    def _deviations(self, y: float, error: float) -> Float:
        """Return the four deviations of a reading, and update the levels and the mean error by what may be followed."""
        if self.seen == 1:
            self.usual = self.recent = y
        most = self.limits * (1 + 10 * self.excesses) if self.seen > 50 else np.full(4, np.inf)
        most[self.limits == 0] = np.inf
        distance = y - self.usual
        near = float(np.clip(distance, -most[0], most[0]))
        self.recent += max(0.3, 1 / self.seen) * (self.usual + near - self.recent)
        self.usual += max(0.005, 1 / self.seen) * near
        if not math.isfinite(error):
            return np.array([distance, self.recent - self.usual, math.nan, math.nan])
        self.error += max(0.3, 1 / self.seen) * (float(np.clip(error, -most[2], most[2])) - self.error)
        return np.array([distance, self.recent - self.usual, error, self.error])

    def _learn(self, deviations: Float) -> Float:
        """Return the rarities of the deviations, and update the tails of their sizes."""
        sizes = np.abs(deviations)
        known = np.isfinite(sizes)
        starts = known & (self.limits == 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = sizes / self.limits - 1
            far = known & ~starts & (excess > 0)
            rarities = np.where(far, -math.log10(0.02) + excess / self.excesses / math.log(10), 0.0)
        rarities[starts & (sizes > 0)] = math.log10(self.seen)
        step = max(0.01, min(1.0, 10 / self.seen))
        self.beyond += far
        weight = np.maximum(0.01, 1 / (self.beyond + 10))
        followed = np.minimum(excess, 3 * self.excesses)
        learned = np.maximum(0.15, self.excesses + weight * (followed - self.excesses))
        self.excesses = np.where(far, learned, self.excesses)
        self.limits = np.where(
            known & ~starts, self.limits * np.where(far, 1 + 0.98 * step, 1 - 0.02 * step), self.limits
        )
        self.limits[starts] = sizes[starts]
        self.excesses[starts] = 0.2
        counts = (np.sign(deviations) != -self._direction()) & (sizes >= self.rule.min_deviation)
        return np.where(counts & (self.seen > 50), np.minimum(rarities, 9), 0.0)

    def _direction(self) -> float:
        return {"above": 1.0, "below": -1.0, "both": math.nan}[self.rule.direction]
