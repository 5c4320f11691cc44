"""Retraining on a schedule: when, which process, and its state in Redis."""
