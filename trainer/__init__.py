"""The offline program: history, sequences, fit, evaluation, publication."""
