"""Tests of the package tidecast.wire."""
