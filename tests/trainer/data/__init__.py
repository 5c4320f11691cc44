"""Tests of the package trainer.data."""
