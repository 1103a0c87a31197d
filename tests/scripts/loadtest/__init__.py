"""The tests of scripts/loadtest: the scenarios do what they say, and the files for other tools work."""
