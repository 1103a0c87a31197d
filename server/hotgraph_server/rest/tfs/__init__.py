"""TensorFlow Serving's REST API: ``/v1/models``.

paths.py     what a method and a path ask for                         pure
methods.py   what each of them does, over the registry and gRPC's services
predict.py   Predict's JSON, in rows and in columns                   pure
examples.py  the JSON of Classify and Regress                         pure

Nothing here knows of the other protocol (v2/).
"""
