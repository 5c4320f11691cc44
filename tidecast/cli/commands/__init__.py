"""One module for each command, in packages by subject."""
