"""Coverage-guided fuzzing of everything that reads bytes from strangers: see README.md."""
