"""`python -m streams` is `headwater`."""

from streams.cli import main

main()
