"""The suite mirrors the packages; everything that talks to Redis talks to a real server."""
