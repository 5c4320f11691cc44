"""Tests of the worker's Redis commands: leases, reads, commits, and readings that were trimmed."""
