"""Tests of the package tidecast.client."""
