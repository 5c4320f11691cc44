"""Tests of the package tidecast.pictures."""
