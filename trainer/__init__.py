"""The offline trainer: reads histories, fits models, evaluates them and publishes versions."""

from tidecast.settings import quiet_tensorflow

quiet_tensorflow()  # before any module here imports TensorFlow
