"""Faults while models are trained."""
