"""Experts of the users' own: they run in a child process, so that their faults cannot harm the worker."""
