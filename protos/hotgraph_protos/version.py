"""The version of the distribution, in the one place that the build, the server and the client read."""

__version__ = "0.1.0"
