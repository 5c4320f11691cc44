"""Tests of orders to delete and rename series, and of what becomes of their entries."""
