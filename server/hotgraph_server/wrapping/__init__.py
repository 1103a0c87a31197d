"""What people have in front of a model and want behind it, as TensorFlow's own ops around its graph: pictures
decoded and scaled, words looked up, names for the best scores.

wishes.py reads what is asked for, images.py, texts.py and labels.py each make one part from a wish and what
the model says of its tensors, and wrap.py writes the new SavedModel. No part may let rows of a batch meet,
for calls shall still share batches: row_independence/ has to be able to prove that of each.
"""
