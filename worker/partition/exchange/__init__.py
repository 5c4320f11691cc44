"""The exchange with Redis: bytes of readings in, bytes of commits out."""
