"""Tests of the package dashboard.data."""
