"""Finding, reading, framing and exporting objectives."""
