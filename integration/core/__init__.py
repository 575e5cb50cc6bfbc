"""What every stage may use: values, errors, settings, clock, logs, metrics."""
