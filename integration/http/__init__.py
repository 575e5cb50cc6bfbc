"""Everything that goes out: one way to call, bounded and redacted."""
