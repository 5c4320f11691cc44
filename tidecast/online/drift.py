"""Detect online whether a series has changed, from its one-step errors, with a few numbers per series.

The test is Page's (1954), in the form of Hinkley (1971). The usual mean of some values is known. The part of each value
above that mean and an allowance is added up, never below zero; a sum over its threshold raises an alarm. Each kind of
drift adds up other values. Every value is divided by its own running mean, so that no threshold needs a unit. It is
cut at five of those means, so that a single outlier does not raise an alarm. The kinds are:

- `errors`: the errors of the blend.
- `level`: the distance of the reading from the one a season before, of two seasons the nearer one. Experts that
  forecast changes follow a new level within a reading or two, so the errors are soon small again; the distance stays
  large for a season. Without a season, the signed errors are added up, uncut. Once they amount to a jump, the usual
  level is frozen, and 56 more readings must stay away from it, on the jump's side of the level before: after an outlier
  a series comes back, and so do most random walks. A reading that came back cancels twelve that stayed. A series that
  is like a random walk must jump in one step.
- `season`: that distance less its own drifting mean, which is large when the shape of a season changes. If the signed
  errors have just detected a jump and every reading since has stayed away, the change is reported as one of the level.

  With two seasons, such as a day and a week, alarms from the distance must be confirmed by the readings after them.
  After a change these are like those of the day before and unlike those of the week before. After a holiday it is the
  reverse. A jump that has stood for some readings is reported at once.
- `model_degraded`: the share in the blend that the series' own LSTM has lost, without the first quarter.

After an alarm the record is reset, because the usual values must be learned again, and no alarm is raised for a while.
The constants were chosen for nine public sets together, those of jumps on half of them; `docs/drift.md` has the
measurements.

E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); D. V. Hinkley, "Inference about the change-point from
cumulative sum tests", Biometrika 58 (1971).
"""

from dataclasses import dataclass

KINDS = (
    "errors",
    "level",
    "season",
    "model_degraded",
)  # by number, see `drift_sums.py`


@dataclass(frozen=True, slots=True)
class Drift:
    """A detected change of a series."""

    series: str
    id: str  # entry id of the reading that raised the alarm
    ts: int  # its time, epoch milliseconds
    kind: str  # one of KINDS
    statistic: float  # in thresholds: above 1
