"""SavedModels whose calls belong to sequences: the server fills in some inputs, and may keep some outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tf2 import function, save


def build_running_sum(directory: Path) -> None:
    """Holds nothing. `x` and `sum_in` float32 [-1, 1] -> `sum`, `sum_out` float32 [-1, 1], their sum.

    `START`, `END`, `READY` int32 [-1, 1] and `CORRID` int64 [-1, 1] come out as `heard` int64 [-1, 4].
    An `x` that is no number fails the run.
    """
    import tensorflow as tf

    def add(x: Any, sum_in: Any, START: Any, END: Any, READY: Any, CORRID: Any) -> Any:
        total = sum_in + tf.debugging.check_numerics(x, "x")
        heard = tf.concat([*(tf.cast(one, tf.int64) for one in (START, END, READY)), CORRID], axis=1)
        return {"sum": total, "sum_out": tf.identity(total), "heard": heard}

    flag = ([None, 1], tf.int32)
    save(
        directory,
        serving_default=function(
            add,
            x=([None, 1], tf.float32),
            sum_in=([None, 1], tf.float32),
            START=flag,
            END=flag,
            READY=flag,
            CORRID=([None, 1], tf.int64),
        ),
    )


def build_slot_sums(directory: Path) -> None:
    """Holds a sum for each of up to 16 rows in a variable. `x` float32 [-1, 1] -> `sum` float32 [-1, 1].

    `START` bool [-1, 1] begins a row's sum anew, a row without `READY` bool [-1, 1] stays as it is. An `x`
    that is no number fails the run. `read` takes nothing and gives the variable, `sums` float32 [16, 1].
    """
    import tensorflow as tf

    sums = tf.Variable(tf.zeros([16, 1]))

    def add(x: Any, START: Any, READY: Any) -> Any:
        rows = tf.shape(x)[0]
        held = sums.read_value()
        before = held[:rows]
        new = tf.where(START, tf.zeros_like(x), before) + tf.debugging.check_numerics(x, "x")
        new = tf.where(READY, new, before)
        sums.assign(tf.concat([new, held[rows:]], axis=0))
        return {"sum": new}

    flag = ([None, 1], tf.bool)
    save(
        directory,
        [sums],
        serving_default=function(add, x=([None, 1], tf.float32), START=flag, READY=flag),
        read=function(lambda: {"sums": sums.read_value()}),
    )
