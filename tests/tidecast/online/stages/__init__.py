"""Tests of the package tidecast.online."""
