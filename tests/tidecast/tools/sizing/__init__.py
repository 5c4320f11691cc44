"""Tests of the sizing of an installation."""
