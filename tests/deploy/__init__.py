"""Tests of the directory `deploy`, without the programs that read it."""
