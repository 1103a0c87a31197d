"""``hotgraph fleet``: one module an action, which command.py lists.

An action has `add_arguments(parser)` and `run(arguments)`. Nothing here imports Ray but in `run`: all actions
are imported for the help.
"""
