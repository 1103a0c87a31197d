"""What a server is to a replica, without TensorFlow: says where it serves, loads, unloads, ends by SIGTERM.

Models are the folders of the repository, each with version 1; one called `broken` cannot be loaded, and one
called `deadly` ends it, where the repository has a file `kill`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOADED: dict[str, Any] = {}
REPOSITORY = Path()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name == "loads":
            self.answer(200, LOADED)
        elif name in LOADED:
            self.answer(200, {"name": name, "versions": ["1"]})
        else:
            self.answer(404, {"error": f"no model {name}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, what = self.path.split("/")[-2:]
        if name == "broken":
            self.answer(400, {"error": "failed to load 'broken', it is broken"})
            return
        if name == "deadly" and (REPOSITORY / "kill").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "load":
            times = LOADED.get(name, {"times": 0})["times"] + 1
            LOADED[name] = {"times": times, "parameters": body.get("parameters", {})}
        else:
            LOADED.pop(name, None)
        self.answer(200, {})

    def answer(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    global REPOSITORY
    parser = argparse.ArgumentParser()
    for flag in ("--config", "--repository", "--host", "--port", "--rest-port", "--admin-port"):
        parser.add_argument(flag)
    asked = parser.parse_args()
    REPOSITORY = Path(asked.repository)
    if (Path(asked.repository) / "no-start").exists():
        sys.exit("it does not start")
    Path(asked.repository, "config").write_text(Path(asked.config).read_text())
    Path(asked.repository, "pid").write_text(str(os.getpid()))
    server = ThreadingHTTPServer((asked.host, int(asked.rest_port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"serving on {asked.host}:8500", file=sys.stderr, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
