"""Faults that the chaos runs cause: on the network, in Redis, and in the worker itself."""
