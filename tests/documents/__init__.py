"""The documents' programs run, and their lists are complete."""
