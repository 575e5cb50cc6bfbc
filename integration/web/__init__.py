"""What the outside talks to: receiving webhooks, health, metrics."""
