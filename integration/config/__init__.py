"""The configuration at this moment: mappings, fields, schemes and secrets."""
