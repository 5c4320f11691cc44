"""Tests of the package worker.failures."""
