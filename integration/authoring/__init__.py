"""What helps people who write mappings: try, test, new."""
