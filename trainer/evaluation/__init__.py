"""Judge a trained model on readings that it never saw."""
