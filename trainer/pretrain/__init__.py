"""Train the network that ships with the package, on synthetic series alone."""
