"""Who may call what: groups of methods, and the keys that open them.

Here names of methods and headers come in, and a refusal or none goes out. Nothing here knows who carries a
call, or what its method does.
"""
