"""TensorFlow's first import, for commands: without its noise, and without a GPU that nobody asked for."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterable

from hotgraph_server.settings import SessionSettings

_ONLY_FATAL = "3"


def import_tensorflow(sessions: Iterable[SessionSettings]) -> None:
    """Import TensorFlow for `sessions`.

    Its libraries write to stderr while they load, before any setting of theirs counts. That is kept
    back, and shown only if the import fails. What the environment says already is left as it is.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _ONLY_FATAL)
    if not any("GPU" in session.canonical_device for session in sessions):
        # Otherwise every process takes some memory of every GPU that it sees.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # It tells about every deprecated function that it calls itself.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
