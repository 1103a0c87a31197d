"""The Open Inference Protocol over HTTP: ``/v2``, with Triton's extensions.

    api.py             a request to what answers it: path, access, state
    paths.py           what a method and a path ask for                         pure
    errors.py          errors as this protocol says them over HTTP              pure

    infer.py           infer, from its request to the queue and back
    infer_request.py   its body to the message that gRPC's would be             pure
    json_forms.py      what a text means, by what stands around its values
    raw_request.py     a body that is nothing but one tensor                    pure
    infer_answer.py    arrays to an answer's body                               pure
    values.py          a tensor's values as JSON, both ways                     pure
    members.py         a member of a JSON object, of the kind that it has to be pure
    generate.py        generate and generate_stream
    generate_text.py   their JSON                                               pure

    management.py      all endpoints that run no model, over gRPC's service
    about.py, repository.py, shared_memory.py, settings.py   what they read and write   pure
    row.py             what each of them is                                     pure
    message_values.py  messages as values for JSON                              pure

Another door to the rooms of protocols/v2/: what a request may ask, and what is said of one that may not, is
there and never here. Nothing here knows of the other protocol (tfs/).
"""
