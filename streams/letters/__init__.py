"""Dead letters as letters: read, selected, replayed and dropped, and noted so that each is settled once."""
