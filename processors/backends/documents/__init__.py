"""Files behind the Parser port."""
