"""Events are posted to a web address."""
