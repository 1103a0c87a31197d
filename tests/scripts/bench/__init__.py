"""The tests of scripts/bench: what it computes, not how fast anything is."""
