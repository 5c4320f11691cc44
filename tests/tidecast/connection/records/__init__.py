"""Tests of the package tidecast.connection.records."""
