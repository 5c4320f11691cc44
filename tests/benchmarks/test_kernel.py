"""The kernel's benchmark, as short as it can be."""

import argparse

import pytest

from benchmarks import kernel
from trainer.fit.backend import tf


@pytest.mark.keras
def test_all_contestants_answer_alike_and_are_timed() -> None:
    """One that answered otherwise would end the benchmark."""
    # TensorFlow keeps the trainer's single thread: later tests of this process compare trainings to the last bit.
    tf.constant(0)
    parser = argparse.ArgumentParser()
    kernel.options(parser)
    figures = kernel.measure(parser.parse_args(["--series", "5", "--units", "3", "--window", "4", "--rounds", "5"]))
    assert {"kernel_us", "ratio_to_numpy", "ratio_to_xla", "shared_ratio_to_numpy"} <= set(figures)
    assert min(figures.values()) > 0
