"""Tests of the package worker.retraining."""
