"""All that a training imports on a worker of Dask: four seconds of a core, once for all that are forked."""

import distributed.cli.dask_scheduler
import distributed.cli.dask_worker

import tidecast.cli.main
import trainer.pipeline
import trainer.runs.remote_task
from trainer.fit.backend import keras

__all__ = ["distributed", "tidecast", "trainer"]

_ = keras.Model
