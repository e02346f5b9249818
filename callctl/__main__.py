"""`python -m callctl`."""

from callctl.cli import main

main()
