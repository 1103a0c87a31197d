"""``hotgraph tensorflow-model-server``: TensorFlow Serving's command line and text files."""
