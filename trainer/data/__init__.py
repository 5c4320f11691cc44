"""Read histories from recorded streams, archives and frames, and find gross errors in them."""
