"""Ready scenarios of load, files for other tools, and the pictures of docs/loadtest.md."""
