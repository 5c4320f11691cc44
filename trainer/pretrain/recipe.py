"""The recipe of the pretrained network: all that its weights depend on."""

from pydantic import BaseModel, ConfigDict, Field

from tidecast.models.pretrained.shape import SEASONS, WINDOW
from tidecast.models.spec import Spec


class Recipe(BaseModel):
    """The numbers of a training; the defaults make the shipped network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 20
    units: int = Field(88, ge=1)
    hidden: int = Field(64, ge=1)
    rows: int = Field(800, ge=100)  # of a synthetic series
    series: int = Field(80, ge=1)  # drawn together of each family; later draws are new
    windows_each: int = Field(16, ge=1)  # cut from a series
    windows: int = Field(19_200_000, ge=1)  # to train on
    batch: int = Field(256, ge=1)
    rate: float = 0.003  # at the start; it falls to 0 as a cosine
    newest: float = 9.0  # the weight of a window's last position, where each of the others weighs 1

    @property
    def spec(self) -> Spec:
        """Return the names and shapes of the weights; `tidecast/models/pretrained` has their inputs."""
        return Spec(
            window=WINDOW,
            units=self.units,
            hidden=self.hidden,
            seasonal=SEASONS,
            pretrained=True,
        )
