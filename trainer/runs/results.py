"""The results of a task: a verdict on each series, and the file of its model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tidecast.models.model import Evidence
from trainer.verdict import Verdict

ANY = -1


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """The result of one series, or of the network of a cohort.

    Attributes:
        verdict: without the number of a version, which the driver adds.
        digest: the SHA-256 of the model's file; None: no version is published.
        promote: whether the version is better than the champion.
        champion_was: the champion that it was compared with; None: there was none; `ANY`: it may replace any champion.
    """

    verdict: Verdict
    digest: str | None = None
    promote: bool = False
    champion_was: int | None = ANY

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a dict that JSON can encode."""
        return {
            "verdict": self.verdict.as_dict(),
            "digest": self.digest,
            "promote": self.promote,
            "champion_was": self.champion_was,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the result of `as_dict`."""
        return cls(verdict_from(fields["verdict"]), fields["digest"], fields["promote"], fields["champion_was"])


def verdict_from(fields: Mapping[str, Any]) -> Verdict:
    """Return the verdict of `Verdict.as_dict`."""
    evidence = fields["evidence"]
    return Verdict(**{**fields, "evidence": Evidence.model_validate(evidence) if evidence else None})
