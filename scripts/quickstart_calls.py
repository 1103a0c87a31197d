"""The two ways to get answers from the digits model that the quickstart compares, and the check of both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotgraph_client import Client
from hotgraph_server.commands.builtin import DIGITS, digits_model

CALL_S = 30.0


class WrongAnswers(Exception):
    """Answers came, and are not what the model gives; the text says in what way."""


@dataclass(frozen=True)
class Load:
    """What the callers saw: per call its latency in seconds, float64 [n], and its answer, float32 [n, 10]."""

    latencies_s: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    wall_s: float

    @property
    def calls_per_s(self) -> float:
        return len(self.latencies_s) / self.wall_s


def call_in_parallel(
    client: Client, images: NDArray[np.float32], calls: int, callers: int, watch: Callable[[int], None]
) -> Load:
    """Send `calls` calls of one image each, `callers` at a time; call i carries image i modulo their number.

    `watch` gets the number of calls done, a few times a second, in the thread that called. The error of the
    first call that fails is raised here, and the other callers stop.
    """
    latencies_s = np.zeros(calls)
    probabilities = np.zeros((calls, 10), np.float32)
    errors: list[Exception] = []
    done = [0] * callers
    ready = threading.Barrier(callers + 1)

    def caller(number: int) -> None:
        try:
            # not timed: the first one makes the connection
            client.predict(DIGITS, {"images": images[:1]}, timeout_s=CALL_S)
        except Exception as error:
            errors.append(error)
        ready.wait()
        for call in range(number, calls, callers):
            if errors:
                return
            row = call % len(images)
            began = time.perf_counter()
            try:
                answer = client.predict(DIGITS, {"images": images[row : row + 1]}, timeout_s=CALL_S)
            except Exception as error:
                errors.append(error)
                return
            latencies_s[call] = time.perf_counter() - began
            probabilities[call] = answer["probabilities"][0]
            done[number] += 1

    threads = [
        threading.Thread(target=caller, args=(number,), name=f"caller-{number}", daemon=True)
        for number in range(callers)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.25)
            watch(sum(done))
    wall_s = time.perf_counter() - began
    if errors:
        raise errors[0]
    return Load(latencies_s, probabilities, wall_s)


def call_with_new_sessions(images: NDArray[np.float32], calls: int) -> Load:
    """Answer each call as many a program does: build a graph, open a session, set variables, run, close."""
    import tensorflow as tf

    from train_digits import build_model

    saved = tf.train.load_checkpoint(str(digits_model() / "1" / "variables" / "variables"))
    trained = {name: saved.get_tensor(f"softmax/{name}") for name in ("weights", "bias")}

    def call(image: NDArray[np.float32]) -> Any:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            placeholder, logits, weights, bias = build_model(tf)
            probabilities = tf.nn.softmax(logits)
            session.run(
                [weights.initializer, bias.initializer],
                {weights.initial_value: trained["weights"], bias.initial_value: trained["bias"]},
            )
            return session.run(probabilities, {placeholder: image})

    call(images[:1])  # not timed: TensorFlow sets itself up
    latencies_s = np.zeros(calls)
    answers = np.zeros((calls, 10), np.float32)
    for number in range(calls):
        began = time.perf_counter()
        answers[number] = call(images[number : number + 1])[0]
        latencies_s[number] = time.perf_counter() - began
    return Load(latencies_s, answers, float(latencies_s.sum()))


def check_answers(served: Load, alone: Load, labels: NDArray[np.int64], promised: float) -> float:
    """Hold the answers against the labels, against each other, and against the model run alone.

    Returns the accuracy over all calls' images.

    Raises:
        WrongAnswers: they are not what the model gives.
    """
    rows = np.arange(len(served.probabilities)) % len(labels)
    first = served.probabilities[: len(labels)]
    # Batched and single runs may differ in the last digits of a float, and in nothing else.
    if not np.allclose(served.probabilities, first[rows], atol=1e-4):
        raise WrongAnswers("the same image got different answers in different batches")
    if not np.allclose(first[: len(alone.probabilities)], alone.probabilities, atol=1e-4):
        raise WrongAnswers("the served answers are not those of the model run alone")
    accuracy = float(np.mean(first.argmax(axis=1) == labels))
    if abs(accuracy - promised) > 1.5 / len(labels):
        raise WrongAnswers(
            f"accuracy on held-out images is {accuracy:.3f}; the model was trained to {promised:.3f}"
        )
    return accuracy
