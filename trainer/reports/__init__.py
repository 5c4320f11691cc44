"""Reports and explanations of one series' model."""
