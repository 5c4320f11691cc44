"""Size an installation: measure the cost of a reading on a machine, and compute capacities and needs from it."""
