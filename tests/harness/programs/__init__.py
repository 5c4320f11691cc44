"""Programs in tests: what they import before they are forked, and where their output goes."""
