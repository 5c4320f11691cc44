"""Tests of tidecast.doctor."""
