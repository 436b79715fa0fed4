"""`python -m onepipe`, where the command `onepipe` is not on the path."""

from onepipe.cli import main

main()
