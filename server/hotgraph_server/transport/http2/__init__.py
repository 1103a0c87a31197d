"""gRPC over an HTTP/2 of our own, on connections that ../sockets serves.

    admission.py           which calls are let in, and how many are
    call.py                what happens on every stream; of unary methods: unary_call.py, of streaming
                           ones: stream_call.py
    messages.py            gRPC's messages in a stream's bytes               pure
    deflating.py           answers compressed, in threads of their own
    connection.py          one connection's protocol: what comes in          pure
    request_headers.py     of that: header blocks                            pure
    data_frames.py         of that: data                                     pure
    control_frames.py      of that: what is neither headers nor data         pure
    send_side.py           its other half: answers                           pure
    flow_control.py        how much either end may still send                pure
    stream.py              one stream of it                                  pure
    hpack_decoder.py       HPACK's reading side                              pure
    header_blocks.py       HPACK, and what headers say                       pure
    field_rules.py         which fields there can be                         pure
    stream_ids.py          which streams may still say something             pure
    flood_limits.py        what may be asked that is no call                 pure
    protocol_errors.py     what ends a connection                            pure
    frames.py              the frames themselves                             pure

Nothing here may know a model, a protocol above gRPC, or grpc's own server; pure modules no socket, thread or
clock either.
"""
