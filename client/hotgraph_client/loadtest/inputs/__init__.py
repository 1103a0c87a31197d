"""What is sent: inputs made from a model's metadata, read from files, or replayed from a log.

`opening.open_inputs` reads `InputOptions` and returns an `InputSet`; `payloads.payloads_of` makes of that
what a sending process is told. No socket, no clock; files are read before the load and never in it.
"""
