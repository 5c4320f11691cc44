"""Real Redis servers of every kind, and servers that a user may name by mistake."""
