"""The parts of the model store: its log, its champions by name, and the runs that trained them."""
