"""``hotgraph tensorflow-model-server``: TensorFlow Serving's command line and text files.

Here its flags and files become settings of ours. Nothing else may import it but the command line (cli.py).
"""
