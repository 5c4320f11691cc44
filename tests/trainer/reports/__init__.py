"""Tests of the package trainer.reports."""
