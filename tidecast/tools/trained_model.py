"""Load trained models from a store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidecast.models.lstm import Array
from tidecast.models.model import Header, Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A version of a series' model.

    Attributes:
        series: the name of the series.
        version: its number in the store.
        store: the directory of the store.
        model: the model with all its experts.
    """

    series: str
    version: int
    store: Path
    model: Model

    @property
    def header(self) -> Header:
        """Return the description: the scaler, the seasons, the evidence, the losses of each epoch and more."""
        return self.model.header

    @property
    def spec(self) -> Spec:
        """Return the shape and the inputs of the network."""
        return self.model.spec

    @property
    def weights(self) -> Mapping[str, Array]:
        """Return the weights of the network by the names of `spec.shapes()`; empty without a network."""
        return self.model.weights


def load_model(series: str, store: Path | str | None = None, version: int | None = None) -> TrainedModel:
    """Load a model of a series.

    Args:
        series: the name of the series.
        store: the directory of the store; None: the setting `store`.
        version: the number of the version; None: the champion.

    Raises:
        StoreError: the series has no champion, or no such version.
        ModelError: the file is damaged.
    """
    folder = load_settings(**({} if store is None else {"store": store})).store
    number, model = ModelStore(folder).load(series, version)
    return TrainedModel(series, number, folder, model)
