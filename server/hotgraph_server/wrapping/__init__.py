"""What people have in front of a model and want behind it, as TensorFlow's own ops around its graph: pictures
decoded and scaled, words looked up, names for the best scores. Row by row, so that calls still share batches.
"""
