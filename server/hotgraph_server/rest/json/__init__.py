"""JSON: its text, tensors in it, and the processes that read and write what is large of it.

    text.py          bytes to Python's values and back                    pure
    tensors.py       values to arrays and back                            pure
    process.py       one process that does either, and its end here
    process_pool.py  several of them, and who waits for which
    fair_queue.py    who is next                                          pure

Nothing here knows a protocol or a model.
"""
