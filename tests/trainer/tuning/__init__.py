"""Tests of the package trainer.tuning."""
