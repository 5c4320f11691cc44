"""Records in Redis that commands, dashboards and workers share: orders, mutes, manual acts, notifications."""
