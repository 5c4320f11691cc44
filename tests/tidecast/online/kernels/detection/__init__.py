"""Tests of the compiled rules that detect faults."""
