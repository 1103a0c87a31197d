"""From folders on disk to live versions, and back: what is loaded, shown, replaced and closed, and when.

Nothing here knows who asked: which models there shall be comes in as settings.
"""
