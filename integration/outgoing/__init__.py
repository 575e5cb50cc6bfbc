"""Outgoing requests to addresses that a mapping names: bounded, to public addresses only (level 2)."""
