"""The job of a training run: everything that all its shards have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import tidecast
from tidecast.errors import SettingsError
from tidecast.models.spec import Spec
from tidecast.settings import Settings, passed_settings


@dataclass(frozen=True, slots=True)
class Job:
    """The part of a training run that all its shards have in common.

    Attributes:
        spec: the shape of the networks; target and features come from each history.
        settings: the groups `series` and `train` count, and the store.
        season: the season length in rows; None: detected from the data; 1: no season.
        created_ms: the creation time of the versions, epoch milliseconds.
    """

    spec: Spec
    settings: Settings
    season: int | None
    created_ms: int

    def as_dict(self) -> dict[str, Any]:
        """Return the job as a dict that JSON can encode, without the store and without any secret."""
        return {
            "version": tidecast.__version__,
            "spec": self.spec.model_dump(mode="json"),
            "train": self.settings.train.model_dump(mode="json"),
            "series": self.settings.series.model_dump(mode="json"),
            "season": self.season,
            "created_ms": self.created_ms,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the job of `as_dict`.

        Raises:
            SettingsError: another version of Tidecast has written it.
        """
        if fields["version"] != tidecast.__version__:
            raise SettingsError(
                f"this machine has Tidecast {tidecast.__version__}, the run was started with {fields['version']}: "
                "install the same version on all machines"
            )
        settings = passed_settings({"train": fields["train"], "series": fields["series"]})
        return cls(Spec(**fields["spec"]), settings, fields["season"], fields["created_ms"])
