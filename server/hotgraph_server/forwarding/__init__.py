"""Calls for a model that this server has not, sent on once to a server that has it.

    a call -> its model is not here -> peers that have it -> sent on as it came -> the answer as it came back

What is sent on: a unary call of the Open Inference Protocol or of TensorFlow Serving that is about one model,
over gRPC and HTTP, as bytes; with the caller's metadata, what is left of its deadline, and a mark by which no
server sends it on again. Streams are not: their calls may belong together, and their server keeps what they
share.

Where to: to servers that the peers file names (peers.py), and nowhere else, whatever a caller says.

Rules
    * A call is sent to one server. Another is asked only where no connection could be had: nothing was sent.
    * The answer, or the error with its status and text, is the peer's. Where none can be reached it is
      UNAVAILABLE.
    * A caller that leaves, or whose deadline comes, ends the call at the peer too.
    * So many calls, and so much of their messages, are under way at a time; more are refused
      (RESOURCE_EXHAUSTED).
    * The thread that serves waits for nothing: one thread, with an event loop, does all that is sent on.

Nothing here knows a protocol's messages but for where they name their model (messages.py), or what is loaded.
"""
