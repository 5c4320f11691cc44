"""Tests of the package tidecast.models.storage."""
