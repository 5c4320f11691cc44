"""Tests of the package dashboard.pages."""
