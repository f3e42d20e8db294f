"""`python -m edgeprune` is the `edgeprune` program."""

from edgeprune.cli import main

main()
