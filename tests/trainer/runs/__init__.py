"""Tests of the package trainer.runs."""
