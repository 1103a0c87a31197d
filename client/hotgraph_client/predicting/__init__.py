"""What `hotgraph predict` takes and gives: inputs as people have them, and answers as they want them.

`reading` says what each --input holds, `fitting` makes of it what the model takes, by its metadata; `answers`
prints and saves, `labels` finds the best classes. Nothing here speaks to a server, and nothing is guessed
without a note that says so.
"""
