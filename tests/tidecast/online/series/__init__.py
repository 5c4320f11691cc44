"""Tests of the package tidecast.online.series."""
