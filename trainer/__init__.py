"""The offline program: history, sequences, fit, evaluation, publication."""

from tidecast.settings import quiet_tensorflow

quiet_tensorflow()  # before anything here imports it
