"""The schema's history, run by `leadwire db upgrade`."""
