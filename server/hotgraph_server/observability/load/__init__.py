"""How much the server has to do: what load reports say, and from which figures.

Nothing here knows how a report is asked for or sent (protocols/orca/).
"""
