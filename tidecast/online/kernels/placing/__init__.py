"""The compiled loops of windows: they take or doubt readings, and keep the profiles of seasons too long for one."""
