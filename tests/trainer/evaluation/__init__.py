"""Tests of the package trainer.evaluation."""
