"""What scripts/architecture and scripts/hops are made of: the code as its own imports and calls show it."""
