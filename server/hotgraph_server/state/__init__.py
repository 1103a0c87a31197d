"""State that changes in a served session: its snapshots, their files, and what a crash may cost.

Here values come in, and files go out. Nothing here knows of calls, or owns a session.
"""
