"""Bad, odd and oversized readings: each ends as the documentation states."""
