"""Files that are no SavedModels, made into ones: of Keras, of frozen graphs, of modules without signatures.

It is done in a process of its own (process.py starts it, child.py is it), so that of what a file makes Keras
or TensorFlow do nothing stays in the server, and a file that hangs or takes all memory ends alone. That is a
fence against accidents and no sandbox: the process has its user's rights, and a model is a program.
"""
