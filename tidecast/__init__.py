"""Tidecast: a forecast of the next reading for every reading of thousands of series."""

__version__ = "0.1.0"
