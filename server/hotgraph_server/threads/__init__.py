"""What threads have in common: periodic and one-shot threads, budgets for what waits for them, processors.

Here is what knows of threads and of nothing that they do.
"""
