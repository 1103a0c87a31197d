"""State that changes in a served session: its snapshots, their files, and what a crash may cost."""
