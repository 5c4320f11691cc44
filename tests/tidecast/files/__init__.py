"""Tests of the reader of files."""
