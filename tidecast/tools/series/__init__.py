"""List, show, delete and rename series."""
