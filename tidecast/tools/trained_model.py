"""Load trained models from a store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidecast.models.lstm import Array
from tidecast.models.model import Header, Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.tools.own_packages import own_packages


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

    @property
    def network_rows(self) -> int:
        """Return how many rows the network reads, including its seasonal inputs; 0 without a network."""
        return self.model.network_rows

    @own_packages()
    def to_keras(self) -> Any:
        """Return a Keras model that answers as the series' own network does, without the other experts.

        Its input is `(batch, network_rows, columns)` in the units of the readings: the newest row last, without gaps,
        the target first, then the features, then the inputs known ahead, each for the time after its row. With calendar
        inputs there is a second one, `(batch, 1)`: the times to forecast in epoch milliseconds. The output is
        `(batch, 1)` in the unit of the target. Call the model with float64 arrays: `predict` rounds them to float32.
        The layer `network` holds the weights, and can be trained.

        Raises:
            ModelError: the series has no network, or its network learns the residuals of the linear expert.
        """
        from trainer.fit.keras_conversion import keras_model_of

        return keras_model_of(self.model)

    @own_packages()
    def from_keras(self, network: Any) -> "TrainedModel":
        """Return this model with the network of a Keras model; `train(networks=...)` judges and publishes it.

        Args:
            network: a model of `to_keras` after a training, or a Sequential model of a supported shape: one to four
                LSTM layers of one size, all in one direction or all in both, perhaps a Dense layer with relu, and a
                Dense(1). It reads the same numbers per step, and its answers are scaled as before.

        Raises:
            ModelError: the shape is not supported.
        """
        from trainer.fit.keras_conversion import weights_of_keras

        spec, weights = weights_of_keras(network, self.spec)
        header = self.header.model_copy(update={"spec": spec, "network": True})
        return replace(self, model=replace(self.model, header=header, weights=weights))


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
