"""Draw what two loops saw of one stall: ``python -m loadtest.plot_stall JSON FOLDER``. Needs matplotlib."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

_LOOKS = {
    "open": ("open loop, from when a call was due", "#d1495b"),
    "closed": ("closed loop: who waits does not call", "#3a7d44"),
}
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def draw(found: dict[str, Any], path: Path) -> None:
    """Latency against the share of calls that had no more, of which each nine has the same width."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, (title, colour) in _LOOKS.items():
        pairs = [(share, latency) for share, latency in found[name]["distribution"] if share < 1]
        axes.plot(
            [_nines(share) for share, _ in pairs],
            [latency for _, latency in pairs],
            color=colour,
            label=title,
        )
    axes.set_yscale("log")
    axes.set_xticks([_nines(share) for share in _SHARES], [f"{share * 100:.4g} %" for share in _SHARES])
    axes.set(xlabel="of the calls took at most", ylabel="latency, ms", xlim=(0, _nines(_SHARES[-1])))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _nines(share: float) -> float:
    return -math.log10(1 - share)


def main(source: str, folder: str) -> None:
    """One picture."""
    matplotlib.use("Agg")
    # Without this, every drawing of the same figures would be another file.
    matplotlib.rcParams["svg.hashsalt"] = "hotgraph"
    matplotlib.rcParams["svg.fonttype"] = "none"
    draw(json.loads(Path(source).read_text()), Path(folder) / "loadtest-stall.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
