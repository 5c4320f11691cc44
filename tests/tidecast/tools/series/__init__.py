"""Tests of the package tidecast.tools.series."""
