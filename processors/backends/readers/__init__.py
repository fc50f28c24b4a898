"""What runs in the reading process: one file format, or one family of them, per module."""
