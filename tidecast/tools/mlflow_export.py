"""Log a version of a series' model to MLflow, through its public interface."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidecast import __version__
from tidecast.errors import TidecastError
from tidecast.models.model import Header, Model
from tidecast.models.store import ModelStore

LOADER = "tidecast.tools.frames.mlflow_model"
NAME = "model"  # of the model in its run


def log_to_mlflow(series: str, store: ModelStore, version: int | None = None) -> str:
    """Log a version as a run of MLflow, with its settings, scores, learning curves and files; return the run's id.

    MLflow's own variables, such as MLFLOW_TRACKING_URI, choose the server and the experiment.

    Args:
        series: the series.
        store: where the version is.
        version: its number; None: the champion.

    Raises:
        StoreError: the series has no such version.
        TidecastError: MLflow is not installed.
    """
    try:
        import mlflow
    except ImportError as exc:
        raise TidecastError("MLflow is not installed: pip install 'mlflow>=3.16'") from exc
    number, model = store.load(series, version)
    header = model.header
    title = f"{series} v{number}"
    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder, mlflow.start_run(run_name=title) as run:
        _copy(model, store, ModelStore(Path(folder)))
        mlflow.set_tags({"series": series, "version": number, "verdict": header.evidence.verdict})
        mlflow.log_params(_params(header))
        mlflow.log_metrics(dict(_metrics(header)))
        for name, losses in header.curves.items():
            for epoch, loss in enumerate(losses, start=1):
                mlflow.log_metric(name, loss, step=epoch)
        requirements = [f"tidecast[train]=={__version__}"]
        mlflow.pyfunc.log_model(name=NAME, loader_module=LOADER, data_path=folder, pip_requirements=requirements)
        return str(run.info.run_id)


def _copy(model: Model, store: ModelStore, copy: ModelStore) -> None:
    """Write a model and the network of its cohort to an empty store."""
    if network := store.cohort_network(model.header.shared):
        copy.shared.publish(network)
    copy.publish(model)


def _params(header: Header) -> dict[str, Any]:
    return {**header.spec.model_dump(), **header.training, "step_ms": header.step_ms, "seasons": header.seasons}


def _metrics(header: Header) -> Iterator[tuple[str, float]]:
    """Yield the scores of the gate by contestant, and the skill."""
    if header.evidence.rows:
        yield "skill", header.evidence.skill
    for contestant, scores in header.evidence.scores.items():
        for name, value in scores.model_dump().items():
            if value is not None:
                yield f"{contestant}_{name}", value
