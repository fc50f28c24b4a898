"""Engines: where records come from. Each runs the same handlers and passes the same suite."""
