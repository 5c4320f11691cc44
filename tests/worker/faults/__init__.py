"""Faults around a worker: it reports the cause, and goes on where it can."""
