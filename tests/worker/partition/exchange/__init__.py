"""Tests of the package worker.partition.exchange."""
