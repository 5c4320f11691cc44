"""Tests of the package trainer.retrain."""
