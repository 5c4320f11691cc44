"""Failures: explain, count and log them, and wait until they are over."""
