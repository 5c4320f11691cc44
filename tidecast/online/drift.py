"""Whether a series has changed: told online from the one-step errors, reading by reading, in a few numbers.

The test is Page's (1954), in the form of Hinkley (1971): of values whose usual mean is known, what exceeds that mean
and an allowance is added up, never below zero, and a sum over its threshold is an alarm. What the values are makes the
kinds of drift. Each is a size over its own running mean, so that no threshold needs a unit, and is cut at five of
those, so that an outlier is no alarm:

- `errors`: the errors of the blend.
- `level`: how far the reading lies from the one a season before. Experts that forecast changes follow a new level
  within a reading or two, and their errors forget it; the distance stays for a season. Where there is no season, the
  signed errors are added up, uncut; once they amount to a jump, what is usual stands still, and 66 more readings must
  stay away from it, on the jump's side of the level before: after an outlier a series comes back, and so do most
  walks. One that came back counts as twelve against those that stayed.
- `season`: that distance less its own drifting mean: what is left when the shape of a season changes. Where the signed
  errors have told of a jump just before and every reading since has stayed away, it is the level that has changed.
- `lost_say`: the share that the own LSTM has lost in the blend.

After an alarm the record starts anew, for what is usual must be learned again, and is silent for a while. The constants
were chosen for nine public sets together, those of jumps on half of them; `docs/drift.md` says what was measured.

E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); D. V. Hinkley, "Inference about the change-point from
cumulative sum tests", Biometrika 58 (1971).
"""

from dataclasses import dataclass

from tidecast.wire import Event

KINDS = (
    "errors",
    "level",
    "season",
    "lost_say",
)  # by their numbers in `kernels/scoring.py`


@dataclass(frozen=True, slots=True)
class Drift:
    """A series has changed."""

    series: str
    id: str  # of the reading that told
    ts: int  # its time, epoch milliseconds
    kind: str  # one of KINDS
    statistic: float  # in thresholds: above 1

    @property
    def event(self) -> Event:
        """What is told of it."""
        return Event(
            "drift", f"{self.kind}: {self.statistic:.2f} times the threshold at reading {self.id}", self.series
        )
