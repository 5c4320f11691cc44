"""What the documents show is run, and what they list is complete."""
