"""Tests of the package worker.layout."""
