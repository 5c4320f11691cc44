"""Tests of the copy of a store in a bucket."""
