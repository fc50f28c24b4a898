"""Services behind the ports: one third-party client per file, imported when it is opened."""
