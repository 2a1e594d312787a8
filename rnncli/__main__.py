"""`python -m rnncli`: the same as `rnncli`."""

from rnncli.cli import main

main(prog_name="rnncli")
