"""The verdict on each series of a training run."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tidecast.models.model import Evidence

PENDING = Evidence(rows=0, season=None, scores={}, skill=0.0, verdict="not judged yet")

Status = Literal["trained", "kept the champion", "already trained", "too short", "constant", "refused", "readable"]
LEARNED = {"trained": "trained", "kept the champion": "kept", "already trained": "kept"}  # all others: refused


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of training one series."""

    series: str
    status: Status
    reason: str  # a sentence, with figures if there are any
    version: int | None = None  # the version stored for the series, promoted or not
    evidence: Evidence | None = None

    @property
    def group(self) -> str:
        """Return `trained`, `kept` or `refused`."""
        return LEARNED.get(self.status, "refused")

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a dict that JSON can encode."""
        return {**asdict(self), "evidence": self.evidence and self.evidence.model_dump()}
