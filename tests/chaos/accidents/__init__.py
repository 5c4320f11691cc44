"""Accidents that destroy data."""
