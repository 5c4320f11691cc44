"""Several workers while everything around them breaks at random, and the check of all that they answered."""
