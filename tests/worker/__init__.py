"""Tests of the package `worker`, a file for each of its modules."""
