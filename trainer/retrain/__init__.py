"""Retrain the series that are due, in a child process of the worker."""
