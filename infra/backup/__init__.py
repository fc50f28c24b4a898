"""Backup and restore of everything that cannot be made anew: the documents as they were published."""
