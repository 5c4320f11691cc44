"""Tests of the package tidecast.tools.frames."""
