"""M/D/1 on paper: calls come by chance, one is served at a time, each takes the same time. In services."""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

_DIGITS = 80
"""The formula's terms are of both signs and far larger than their sum."""


def mean_sojourn(load: float) -> float:
    """Of waiting and service, by Pollaczek and Khinchine."""
    return 1 + load / (2 * (1 - load))


def wait_share(load: float, wait: float) -> float:
    """The share of calls that wait so long at most, by Erlang's formula."""
    with localcontext() as context:
        context.prec = _DIGITS
        rho, found = Decimal(load), Decimal(0)
        for k in range(math.floor(wait) + 1):
            left = rho * (Decimal(wait) - k)
            # decimal has no opinion on 0 ** 0
            power = (-left) ** k if k else Decimal(1)
            found += power / math.factorial(k) * left.exp()
        return float((1 - rho) * found)


@functools.cache
def sojourn(load: float, share: float) -> float:
    """The time within which that share of calls is answered."""
    low, high = 0.0, 1.0
    if wait_share(load, low) >= share:
        return 1.0
    while wait_share(load, high) < share:
        low, high = high, 2 * high
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if wait_share(load, middle) >= share else (middle, high)
    return 1 + high


def served(arrivals: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long each of these calls is there, if they come to an empty server in this order (Lindley)."""
    # a call is done when, of any call up to it, it and all between had to be served after that one came
    places = np.arange(len(arrivals))
    return np.maximum.accumulate(arrivals - places) + places + 1 - arrivals
