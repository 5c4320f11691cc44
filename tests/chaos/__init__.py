"""Break a running worker and verify, from the input alone, that every reading was answered exactly once."""
