"""Tests of the models that a worker loads, and of what moves them."""
