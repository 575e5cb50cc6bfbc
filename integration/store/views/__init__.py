"""What people look at, read from the store."""
