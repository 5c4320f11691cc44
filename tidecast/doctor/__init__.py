"""Checks of an installation, with remedies; one file for each kind of check."""
