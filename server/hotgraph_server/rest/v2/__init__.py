"""The Open Inference Protocol over HTTP: ``/v2``, with Triton's extensions.

api.py            a request to what answers it: path, access, state
paths.py          what a method and a path ask for                         pure
errors.py         errors as this protocol says them over HTTP              pure
management.py     all endpoints that run no model, over gRPC's service
    about.py, repository.py, shared_memory.py, settings.py   their requests and answers   pure
json_body.py      small JSON bodies, and what is wrong with them           pure
message_values.py messages as values for JSON                              pure

Nothing here knows of the other protocol (tfs/).
"""
