"""A set of inputs as what a sending process is told: payloads, and how often or when each is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..dialects.description import Dialect
from ..load import Payload
from .items import InputError, InputSet, Item


@dataclass(frozen=True)
class Payloads:
    """Of a set, each distinct call once.

    Attributes:
        payloads: for Assignment.payloads.
        items: what each was made of, in the same order; for the Checker.
        weights: for Assignment.weights; None: in turn.
        order: which payload each call of the log was; for Assignment.order. Empty: it is no log.
        moments: when each call of the log was, seconds from the first, ascending; for Arrivals.moments. None:
            the log does not say.
        nbytes: of all payloads.
    """

    payloads: tuple[Payload, ...]
    items: tuple[Item, ...]
    weights: tuple[float, ...] | None
    order: NDArray[np.int64]
    moments: NDArray[np.float64] | None
    nbytes: int

    @property
    def mean_bytes(self) -> float:
        """Of a request, as often as each is sent."""
        sizes = [len(payload.body) for payload in self.payloads]
        return float(np.average(sizes, weights=self.weights))

    @property
    def rows(self) -> dict[str, float]:
        """Share of calls by their rows, as documents have it."""
        weights = self.weights or (1.0,) * len(self.payloads)
        shares: dict[int, float] = {}
        for payload, weight in zip(self.payloads, weights, strict=True):
            shares[payload.rows] = shares.get(payload.rows, 0.0) + weight / sum(weights)
        return {str(rows): shares[rows] for rows in sorted(shares)}


def payloads_of(dialect: Dialect, inputs: InputSet, max_bytes: int) -> Payloads:
    """The payloads of a set; calls that share their arrays share one.

    Where they take more than `max_bytes`, and fewer would do as well, there are fewer.

    Raises:
        InputError: they are more than `max_bytes` together, and all are needed.
        TargetError: an array that the protocol cannot carry.
    """
    payloads: list[Payload] = []
    items: list[Item] = []
    places: dict[int, int] = {}
    order: list[int] = []
    shares: list[float] = []
    nbytes = 0
    for index, item in enumerate(inputs.items):
        place = places.get(id(item.inputs))
        if place is None:
            place = places[id(item.inputs)] = len(payloads)
            payload = dialect.payload(item.inputs)
            nbytes += len(payload.body)
            if nbytes > max_bytes and inputs.round and index >= inputs.round:
                whole = index - index % inputs.round
                weights = None if inputs.weights is None else inputs.weights[:whole]
                fewer = replace(inputs, items=inputs.items[:whole], weights=weights)
                return payloads_of(dialect, fewer, max_bytes)
            if nbytes > max_bytes:
                raise InputError(
                    f"{inputs.source}: the requests take more than {max_bytes >> 20} MiB: send fewer or"
                    " smaller ones (--items, --rows, --shape), or allow more (--input-mb)"
                )
            payloads.append(payload)
            items.append(item)
            shares.append(0.0)
        shares[place] += 1.0 if inputs.weights is None else inputs.weights[index]
        order.append(place)
    times = [item.at_s for item in inputs.items if item.at_s is not None]
    repeated = len(payloads) < len(order)
    return Payloads(
        tuple(payloads),
        tuple(items),
        tuple(shares) if repeated or inputs.weights is not None else None,
        np.array(order, np.int64),
        np.array(times, np.float64) if inputs.has_times else None,
        nbytes,
    )


def trace_of(payloads: Payloads) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """When and what to send, to replay a log: Arrivals.moments and Assignment.order.

    Raises:
        InputError: it does not say when its calls were.
    """
    if payloads.moments is None:
        raise InputError(
            "the data does not say when its calls were, so that they cannot be replayed: send them as a mix,"
            " with --rate or --concurrency"
        )
    return payloads.moments, payloads.order
