"""Tests of the package `tidecast`, a file for each of its modules."""
