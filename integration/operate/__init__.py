"""What keeps an installation well: alerts, retention, dead letters, linking, checks."""
