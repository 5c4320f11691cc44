"""A worker's forecaster with the models of a store, for the tools that forecast without Redis."""

from typing import TYPE_CHECKING

from tidecast.models.store import ModelStore

if TYPE_CHECKING:
    from tidecast.online.forecaster import Forecaster


def load_champions(forecaster: "Forecaster", store: ModelStore) -> None:
    """Give a forecaster the shared networks and the champions of a store.

    Raises:
        StoreError: a version is missing, or its file belongs to another series.
        ModelError: a model file is damaged.
    """
    for cohort in store.shared.served():
        forecaster.set_shared_network(cohort, store.shared.load(cohort)[1])
    for series in store.served():
        forecaster.set_model(series, *store.load(series))
