"""Search hyperparameters with Keras Tuner."""
