"""Tests of the benchmark of anomalies."""
