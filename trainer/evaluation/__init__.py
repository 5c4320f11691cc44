"""Judge a trained model on readings that were not used to train it."""
