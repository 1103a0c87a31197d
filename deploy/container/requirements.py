"""Write what the image installs, from pyproject.toml: TensorFlow apart, so that its layer outlives others.

``python requirements.py pyproject.toml FOLDER`` writes FOLDER/tensorflow.txt and FOLDER/others.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tomllib

LARGE = "tensorflow>"


def main() -> None:
    """Write both files."""
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    extras = project["optional-dependencies"]
    # Whoever wants spans says where they go (HOTGRAPH_OTLP_ENDPOINT), and needs no image of their own for it.
    wanted = [*project["dependencies"], *extras["server"], *extras["otel"]]
    tensorflow = [one for one in wanted if one.startswith(LARGE)]
    if len(tensorflow) != 1:
        sys.exit(f"{sys.argv[1]}: one requirement should begin with {LARGE}, found {tensorflow}")
    folder = Path(sys.argv[2])
    (folder / "tensorflow.txt").write_text("\n".join(tensorflow) + "\n")
    # With it, so that no later step takes another version.
    (folder / "others.txt").write_text("\n".join(wanted) + "\n")


if __name__ == "__main__":
    main()
