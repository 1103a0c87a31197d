"""HTTP/1.1, on connections that ../sockets serves.

    connection.py  one connection's protocol: requests in their order, and what bounds them
    exchange.py    one request and its answer: who reads, answers, encodes and compresses it
    heads.py       the heads of answers                                      pure
    codings.py     gzip and deflate                                          pure

Nothing here may know a model, or a protocol above HTTP: what is answered is an Api's (../http.py).
"""
