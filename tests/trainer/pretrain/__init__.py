"""Tests of the package trainer.fit."""
