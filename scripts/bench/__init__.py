"""The benchmark: hotgraph and its rivals on the same models, in the same run, alternating."""
