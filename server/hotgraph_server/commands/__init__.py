"""The command line: one module a subcommand, the flags, signals, and a configuration that is read again.

Here is what talks to the person at the terminal. Nothing else may import it.
"""
