"""Backup and restore of all that cannot be made anew: the events on `documents`, and the content that they claim."""
