"""`python -m messenger`."""

from messenger.cli import main

main(prog_name="messenger")
