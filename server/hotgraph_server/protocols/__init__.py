"""One folder per protocol: how its messages become calls, and answers its messages."""
