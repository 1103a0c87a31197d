"""Graphs whose rows do not influence each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases import Cases, examples, floats, images, ints, lengths, scalar, texts

CASES = honest = Cases()

_RNG = np.random.default_rng(7)


def weights(*shape: int) -> Any:
    return _RNG.normal(0, 0.5, shape).astype(np.float32)


def variable(tf: Any, *shape: int) -> Any:
    """A variable of the graph itself, also where a function uses it."""
    with tf.init_scope():
        return tf.Variable(weights(*shape))


@honest(x=floats(4))
def dense(tf: Any, x: Any) -> Any:
    return tf.nn.softmax(tf.nn.relu(x @ weights(4, 8) + weights(8)) @ weights(8, 3))


@honest(x=floats(3, 4, free=[0]))
def dense_over_time_by_reshape(tf: Any, x: Any) -> Any:
    """As tensordot does it: all times of all rows are one axis, and are taken apart again."""
    return tf.nn.tanh(tf.tensordot(x, weights(4, 5), [[2], [0]]) + weights(5))


@honest(x=floats(4))
def standardised_by_constants(tf: Any, x: Any) -> Any:
    return (x - weights(4)) / tf.sqrt(tf.square(weights(4)) + 1.0)


@honest(x=floats(6, 6, 3))
def convolutions(tf: Any, x: Any) -> Any:
    y = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 4), 2, "SAME"))
    y = tf.nn.max_pool2d(y, 2, 1, "VALID")
    y, _, _ = tf.raw_ops.FusedBatchNormV3(
        x=y,
        scale=weights(4),
        offset=weights(4),
        mean=weights(4),
        variance=np.ones(4, np.float32),
        is_training=False,
    )[:3]
    return tf.reshape(y, [-1, 16]) @ weights(16, 2)


@honest(x=floats(6, 6, 3))
def depthwise_and_global_pool(tf: Any, x: Any) -> Any:
    y = tf.nn.depthwise_conv2d(
        tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), weights(3, 3, 3, 2), [1, 1, 1, 1], "VALID"
    )
    return tf.reduce_mean(y, axis=[1, 2])


@honest(x=floats(7, 7, 2))
def dilated_convolution(tf: Any, x: Any) -> Any:
    """Parts of images are moved to where rows are, and back."""
    y = tf.raw_ops.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[2, 3], [2, 3]])
    y = tf.nn.conv2d(y, weights(3, 3, 2, 4), 1, "VALID")
    return tf.raw_ops.BatchToSpaceND(input=y, block_shape=[2, 2], crops=[[0, 1], [0, 1]])


@honest(x=floats(4, 4, 2))
def transposed_convolution(tf: Any, x: Any) -> Any:
    shape = tf.stack([tf.shape(x)[0], 8, 8, 3])
    return tf.nn.conv2d_transpose(x, weights(3, 3, 3, 2), shape, 2)


@honest(x=floats(4, 8))
def layer_norm(tf: Any, x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-6) * weights(8) + weights(8)


def _split_heads(tf: Any, x: Any, heads: int) -> Any:
    shape = tf.shape(x)
    return tf.transpose(tf.reshape(x, [shape[0], shape[1], heads, x.shape[2] // heads]), [0, 2, 1, 3])


@honest(ids=ints(5, free=[0]))
def attention_with_padding_mask(tf: Any, ids: Any) -> Any:
    x = tf.gather(weights(5, 8), ids)
    mask = tf.cast(tf.equal(ids, 0), tf.float32)[:, tf.newaxis, tf.newaxis, :]
    query, key, value = (_split_heads(tf, tf.tensordot(x, weights(8, 8), 1), 2) for _ in range(3))
    scores = tf.matmul(query, key, transpose_b=True) / 2.0 - 1e9 * mask
    y = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
    return tf.reshape(y, [tf.shape(ids)[0], -1, 8])[:, 0]


@honest(x=floats(5, 8))
def attention_by_einsum(tf: Any, x: Any) -> Any:
    query, key, value = (tf.einsum("btd,dhk->bthk", x, weights(8, 2, 4)) for _ in range(3))
    scores = tf.nn.softmax(tf.einsum("bthk,bshk->bhts", query, key))
    return tf.einsum("bthk,hkd->btd", tf.einsum("bhts,bshk->bthk", scores, value), weights(2, 4, 8))


@honest(x=floats(5, 8))
def heads_along_the_batch(tf: Any, x: Any) -> Any:
    """An old way: the heads are put below each other along the axis of rows, and split again."""
    stacked = tf.concat(tf.split(x, 2, axis=2), axis=0)
    scores = tf.nn.softmax(tf.matmul(stacked, stacked, transpose_b=True))
    return tf.concat(tf.split(tf.matmul(scores, stacked), 2, axis=0), axis=2)


@honest(ids=ints(6))
def masked_mean_of_embeddings(tf: Any, ids: Any) -> Any:
    table = variable(tf, 5, 4)
    mask = tf.cast(tf.not_equal(ids, 0), tf.float32)[..., tf.newaxis]
    total = tf.reduce_sum(tf.nn.embedding_lookup(table, ids) * mask, axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(mask, axis=1))


@honest(x=floats(5, 3), length=lengths(5))
def last_step_by_number(tf: Any, x: Any, length: Any) -> Any:
    """Each row's last step, found with its own number."""
    return tf.gather_nd(x, tf.stack([tf.range(tf.shape(x)[0]), length - 1], axis=1))


@honest(x=floats(5, 3), length=lengths(5))
def last_step_by_batch_dims(tf: Any, x: Any, length: Any) -> Any:
    return tf.gather(x, length - 1, batch_dims=1)


@honest(x=floats(5, 3), length=lengths(5))
def sequence_mask_to_the_width(tf: Any, x: Any, length: Any) -> Any:
    mask = tf.sequence_mask(length, tf.shape(x)[1], tf.float32)
    return tf.reduce_max(x * mask[..., tf.newaxis], axis=1)


@honest(x=floats(5, 3, free=[0]))
def recurrent_over_time(tf: Any, x: Any) -> Any:
    """A loop over time with the state of all rows, in TensorFlow 2's way."""
    over_time = tf.TensorArray(tf.float32, tf.shape(x)[1]).unstack(tf.transpose(x, [1, 0, 2]))

    def turn(step: Any, state: Any, outputs: Any) -> Any:
        state = tf.tanh(over_time.read(step) @ weights(3, 4) + state @ weights(4, 4))
        return step + 1, state, outputs.write(step, state)

    start = tf.zeros([tf.shape(x)[0], 4])
    outputs = tf.TensorArray(tf.float32, tf.shape(x)[1])
    _, last, outputs = tf.while_loop(lambda step, *_: step < tf.shape(x)[1], turn, [0, start, outputs])
    return last, tf.transpose(outputs.stack(), [1, 0, 2])


@honest(old=True, x=floats(5, 3, free=[0]))
def recurrent_over_time_of_old(tf: Any, x: Any) -> Any:
    return recurrent_over_time(tf, x)


@honest(old=True, x=floats(5, 4, free=[0]))
def two_layers_over_time_of_old(tf: Any, x: Any) -> Any:
    return recurrent_over_time(tf, recurrent_over_time(tf, x[..., :3])[1][..., :3])


@honest(old=True, x=floats(4))
def loop_in_a_loop_of_old(tf: Any, x: Any) -> Any:
    def outer(turn: Any, y: Any) -> Any:
        inner = lambda step, z: (step + 1, tf.tanh(z @ weights(4, 4)))  # noqa: E731
        return turn + 1, tf.while_loop(lambda step, _: step < 2, inner, [0, y])[1]

    return tf.while_loop(lambda turn, _: turn < 3, outer, [0, x])[1]


@honest(old=True, x=floats(5, 3), length=lengths(5))
def dynamic_rnn_with_lengths(tf: Any, x: Any, length: Any) -> Any:
    """It stops early where all rows have ended; that shows in no answer."""
    steps = tf.minimum(5, tf.reduce_max(length))

    def turn(step: Any, state: Any) -> Any:
        new = tf.tanh(x[:, step] @ weights(3, 4) + state @ weights(4, 4))
        return step + 1, tf.where((step < length)[:, tf.newaxis], new, state)

    return tf.while_loop(lambda step, _: step < steps, turn, [0, tf.zeros([tf.shape(x)[0], 4])])[1]


@honest(x=floats(5, 3))
def scan_over_time(tf: Any, x: Any) -> Any:
    return tf.transpose(tf.scan(lambda a, b: a * 0.5 + b, tf.transpose(x, [1, 0, 2])), [1, 0, 2])


@honest(x=floats(4))
def map_over_rows(tf: Any, x: Any) -> Any:
    return tf.map_fn(lambda row: row / (1.0 + tf.reduce_sum(tf.abs(row))), x)


@honest(text=texts())
def map_to_a_length_that_is_not_written_down(tf: Any, text: Any) -> Any:
    """Each text is cut and filled to four bytes, which no shape says."""

    def four(one: Any) -> Any:
        found = tf.strings.bytes_split(one)[:4]
        return tf.concat([found, tf.fill([4 - tf.size(found)], "")], axis=0)

    letters = tf.strings.to_hash_bucket_fast(tf.map_fn(four, text, fn_output_signature=tf.string), 7)
    return tf.reduce_sum(tf.gather(weights(7, 3), letters), axis=1)


@honest(x=ints(4))
def sparse_ids_of_dense_ones(tf: Any, x: Any) -> Any:
    """What a feature column makes of a dense input."""
    places = tf.where(tf.not_equal(x, 0))
    ids = tf.SparseTensor(places, tf.gather_nd(x, places), tf.shape(x, tf.int64))
    return tf.nn.safe_embedding_lookup_sparse(variable(tf, 5, 3), ids, combiner="mean")


@honest(old=True, x=floats(4))
def map_over_rows_of_old(tf: Any, x: Any) -> Any:
    return map_over_rows(tf, x)


@honest(image=images())
def decoded_images(tf: Any, image: Any) -> Any:
    """Files of any size, one by one to the same size."""

    def decode(contents: Any) -> Any:
        dots = tf.io.decode_png(contents, 3)
        return tf.ensure_shape(tf.image.resize(dots, [4, 4]), [4, 4, 3]) / 255.0

    y = tf.map_fn(decode, image, fn_output_signature=tf.float32)
    return tf.nn.conv2d(y, weights(2, 2, 3, 2), 1, "VALID")


@honest(x=floats(6, 6, 3))
def image_preparation(tf: Any, x: Any) -> Any:
    y = tf.image.resize(x, [4, 4])
    y = tf.image.central_crop(y, 0.5)
    return tf.reverse(y, [-1]) * 2.0 - tf.reduce_mean(y, axis=[1, 2, 3], keepdims=True)


@honest(x=floats(4))
def branch_by_a_constant(tf: Any, x: Any) -> Any:
    return tf.cond(tf.constant(5) > 3, lambda: x * 2.0, lambda: x - tf.reduce_mean(x, axis=0))


@honest(x=floats(4), training=scalar(0, "bool"))
def branch_by_a_scalar_input(tf: Any, x: Any, training: Any) -> Any:
    return tf.cond(training, lambda: x * 3.0, lambda: tf.nn.relu(x))


@honest(old=True, x=floats(4), training=scalar(0, "bool"))
def branch_of_old(tf: Any, x: Any, training: Any) -> Any:
    return tf.cond(training, lambda: x * 3.0, lambda: tf.nn.relu(x))


@honest(old=True, x=floats(4))
def dropout_of_old_that_nobody_asks_for(tf: Any, x: Any) -> Any:
    training = tf.compat.v1.placeholder_with_default(False, ())
    return tf.cond(training, lambda: tf.nn.dropout(x - tf.reduce_mean(x, axis=0), 0.5), lambda: x) * 2.0


@honest(text=texts())
def text_to_a_fixed_length(tf: Any, text: Any) -> Any:
    words = tf.strings.split(tf.strings.lower(tf.strings.regex_replace(text, "[^a-z ]", "")))
    ids = tf.ragged.map_flat_values(lambda word: tf.strings.to_hash_bucket_fast(word, 7), words)
    return tf.reduce_mean(tf.gather(weights(7, 3), ids.to_tensor(0, shape=[None, 4])), axis=1)


@honest(text=texts())
def letters_to_a_fixed_length(tf: Any, text: Any) -> Any:
    letters = tf.strings.unicode_decode(text, "UTF-8")
    return letters.to_tensor(0, shape=[None, 8])


@honest(text=texts())
def text_features(tf: Any, text: Any) -> Any:
    length = tf.cast(tf.strings.length(text), tf.float32)
    dog = tf.cast(tf.strings.regex_full_match(text, ".*birch.*"), tf.float32)
    return tf.stack([length, dog, tf.math.log1p(length)], axis=1), tf.strings.join([text, "!"])


@honest(text=texts())
def bag_of_words(tf: Any, text: Any) -> Any:
    words = tf.strings.split(text)
    ids = tf.strings.to_hash_bucket_fast(words.values, 7)
    vectors = tf.gather(weights(7, 3), ids)
    return tf.math.unsorted_segment_sum(vectors, words.value_rowids(), tf.shape(text)[0])


@honest(example=examples())
def dense_features(tf: Any, example: Any) -> Any:
    parsed = tf.io.parse_example(
        example,
        {"x": tf.io.FixedLenFeature([4], tf.float32), "word": tf.io.FixedLenFeature([], tf.string, "none")},
    )
    ids = tf.strings.to_hash_bucket_fast(parsed["word"], 3)
    return tf.concat([parsed["x"], tf.one_hot(ids, 3)], axis=1) @ weights(7, 2)


@honest(example=examples())
def sparse_features(tf: Any, example: Any) -> Any:
    """Any number of ids in each example, and the mean of what is looked up; equal ids are looked up once."""
    parsed = tf.io.parse_example(example, {"ids": tf.io.VarLenFeature(tf.int64)})
    return tf.nn.safe_embedding_lookup_sparse(variable(tf, 5, 3), parsed["ids"], combiner="mean")


@honest(ids=ints(4))
def unique_ids_looked_up_once(tf: Any, ids: Any) -> Any:
    different, index = tf.unique(tf.reshape(ids, [-1]))
    return tf.reshape(tf.gather(tf.gather(weights(5, 3), different), index), [-1, 4, 3])


@honest(word=texts())
def vocabulary(tf: Any, word: Any) -> Any:
    values = tf.lookup.KeyValueTensorInitializer([b"amber", b"x"], tf.constant([1, 2], tf.int64))
    return tf.lookup.StaticHashTable(values, 0).lookup(word)


@honest(x=floats(5, 3))
def crf_scores(tf: Any, x: Any) -> Any:
    """The forward algorithm, and the transition matrix itself for whoever decodes."""
    transitions = variable(tf, 3, 3)
    alpha = x[:, 0]
    for step in range(1, 5):
        alpha = tf.reduce_logsumexp(alpha[:, :, tf.newaxis] + transitions[tf.newaxis], axis=1) + x[:, step]
    return tf.reduce_logsumexp(alpha, axis=1), transitions.read_value()


@honest(x=floats(5, 3))
def viterbi(tf: Any, x: Any) -> Any:
    transitions = weights(3, 3)

    def turn(step: Any, score: Any, path: Any) -> Any:
        sums = score[:, :, tf.newaxis] + transitions
        return step + 1, tf.reduce_max(sums, 1) + x[:, step], path.write(step, tf.argmax(sums, 1, tf.int32))

    path = tf.TensorArray(tf.int32, 5).write(0, tf.zeros([tf.shape(x)[0], 3], tf.int32))
    _, score, path = tf.while_loop(lambda step, *_: step < 5, turn, [1, x[:, 0], path])
    return tf.argmax(score, axis=1), tf.transpose(path.stack(), [1, 0, 2])


@honest(x=floats(8))
def top_three(tf: Any, x: Any) -> Any:
    values, indices = tf.math.top_k(x, 3)
    return values, tf.gather(tf.constant([f"class {one}" for one in range(8)]), indices)


@honest(x=floats(4))
def class_names_tiled(tf: Any, x: Any) -> Any:
    names = tf.constant([[b"a", b"b", b"c", b"d"]])
    return tf.tile(names, [tf.shape(x)[0], 1]), tf.nn.softmax(x)


@honest(x=floats(4))
def class_token(tf: Any, x: Any) -> Any:
    tokens = tf.broadcast_to(weights(1, 1, 4), [tf.shape(x)[0], 1, 4])
    y = tf.concat([tokens, x[:, tf.newaxis]], axis=1)
    return tf.reshape(y + weights(1, 2, 4), [-1, 8])


@honest(x=floats(4))
def checked_over_the_batch(tf: Any, x: Any) -> Any:
    """What is taken over all rows is only asked whether it is sane."""
    with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(tf.abs(x)), 1e9)]):
        return tf.identity(x) * 2.0


@honest(x=floats(4))
def largest_of_all_unused(tf: Any, x: Any) -> Any:
    _ = tf.reduce_max(x) * 2.0
    return x * 2.0, tf.shape(x)[1]


@honest(x=floats(6))
def spectrum(tf: Any, x: Any) -> Any:
    return tf.abs(tf.signal.rfft(x)), tf.cumsum(x, axis=1), tf.reverse(x, [1])


@honest(x=floats(5, 3), length=lengths(5))
def reversed_by_lengths(tf: Any, x: Any, length: Any) -> Any:
    return tf.reverse_sequence(x, length, seq_axis=1)


@honest(x=floats(2, 3), y=floats(3))
def two_inputs(tf: Any, x: Any, y: Any) -> Any:
    return tf.einsum("bij,bj->bi", x, y), tf.linalg.matvec(x, y), tf.reduce_sum(x * y[:, tf.newaxis], [1, 2])


@honest(text=texts())
def text_padded_and_masked(tf: Any, text: Any) -> Any:
    """Padded to the longest, and what was padded is left out again."""
    codes = tf.cast(tf.strings.unicode_decode(text, "UTF-8").to_tensor(0), tf.float32)
    mask = tf.cast(codes > 0, tf.float32)
    return tf.reduce_sum(codes * mask, axis=1) / tf.reduce_sum(mask, axis=1)


@honest(x=floats(4))
def sorted_and_put_back(tf: Any, x: Any) -> Any:
    order = tf.argsort(x[:, 0])
    return tf.gather(tf.gather(x, order) * 2.0, tf.math.invert_permutation(order))


@honest(x=floats(3, 4))
def flattened_and_back(tf: Any, x: Any) -> Any:
    y = tf.nn.relu(tf.reshape(x, [-1, 4]) @ weights(4, 6))
    return tf.reshape(y, [-1, 3 * 6])


@honest(x=floats(5, 4, free=[0]))
def time_major_and_back(tf: Any, x: Any) -> Any:
    shape = tf.shape(x)
    flat = tf.reshape(tf.transpose(x, [1, 0, 2]), [-1, 4]) @ weights(4, 2)
    return tf.transpose(tf.reshape(flat, [shape[1], shape[0], 2]), [1, 0, 2])


@honest(x=floats(4))
def quantised_between_bounds(tf: Any, x: Any) -> Any:
    return tf.quantization.quantize_and_dequantize_v2(x, -1.0, 1.0, range_given=True)


@honest(x=floats(4))
def quantised_by_its_own_greatest(tf: Any, x: Any) -> Any:
    return tf.quantization.quantize_and_dequantize_v2(x, [0.0], [0.0], range_given=False, axis=0)


@honest(x=floats(4))
def reversed_and_back(tf: Any, x: Any) -> Any:
    return tf.roll(tf.reverse(tf.nn.relu(tf.reverse(tf.roll(x, 1, 0), [0])), [0]), -1, 0)


@honest(x=floats(4), y=floats(4))
def diagonal_of_similarities(tf: Any, x: Any, y: Any) -> Any:
    return tf.linalg.diag_part(tf.matmul(x, y, transpose_b=True))


@honest(x=floats(6, 3))
def rows_as_the_height_of_an_image(tf: Any, x: Any) -> Any:
    y = tf.nn.conv2d(x[tf.newaxis], weights(1, 3, 3, 2), 1, "SAME")
    return tf.nn.max_pool2d(y, [1, 2], [1, 2], "VALID")[0]


@honest(x=floats(6, 6))
def rows_as_channels(tf: Any, x: Any) -> Any:
    y = tf.nn.max_pool2d(tf.transpose(x, [1, 2, 0])[tf.newaxis], 2, 2, "VALID")
    return tf.transpose(y[0], [2, 0, 1])


@honest(x=floats(5, 3))
def beams(tf: Any, x: Any) -> Any:
    """The two best ways through five steps."""
    scores, ways = tf.math.top_k(tf.nn.log_softmax(x[:, 0] @ weights(3, 6)), 2)
    for step in range(1, 5):
        following = tf.nn.log_softmax(x[:, step] @ weights(3, 6))[:, tf.newaxis]
        scores, best = tf.math.top_k(tf.reshape(following + scores[:, :, tf.newaxis], [-1, 12]), 2)
        ways = tf.gather(ways, best // 6, batch_dims=1) * 6 + best % 6
    return ways, scores


@honest(x=ints())
def table_without_scalars(tf: Any, x: Any) -> Any:
    keys = {"empty_key": [-1, -1], "deleted_key": [-2, -2]}
    table = tf.raw_ops.MutableDenseHashTableV2(**keys, value_dtype=tf.float32, value_shape=[3])
    found = tf.raw_ops.LookupTableFindV2(
        table_handle=table, keys=tf.stack([x, x], 1), default_value=[0.0, 1.0, 2.0]
    )
    return tf.nn.softmax(found + tf.cast(x, tf.float32)[:, tf.newaxis])
