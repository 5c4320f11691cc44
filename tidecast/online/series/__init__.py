"""The series of a partition: their names, properties and states, and how these are stored."""
