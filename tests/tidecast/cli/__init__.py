"""Tests of the package tidecast.cli."""
