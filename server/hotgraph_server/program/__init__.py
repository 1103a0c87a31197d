"""A server in somebody's own program: hotgraph_server.serve.

Here a program's models and words become settings and folders. Nothing here changes the process that it is a
guest in: no signal, no logging, no environment variable.
"""
