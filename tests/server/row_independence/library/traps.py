"""Graphs whose rows influence each other, written as people write them who did not mean it."""

from __future__ import annotations

from typing import Any

from .cases import Cases, examples, floats, images, ints, lengths, scalar, texts
from .honest import weights

CASES = trap = Cases()


@trap(x=floats(4))
def batch_norm_by_moments(tf: Any, x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [0])
    return tf.nn.softmax(tf.nn.batch_normalization(x, mean, variance, None, None, 1e-3) @ weights(4, 3))


@trap(x=floats(4, 4, 3))
def batch_norm_in_training_mode(tf: Any, x: Any) -> Any:
    y = tf.nn.conv2d(x, weights(3, 3, 3, 2), 1, "SAME")
    y = tf.raw_ops.FusedBatchNormV3(
        x=y, scale=weights(2), offset=weights(2), mean=[], variance=[], is_training=True
    )[0]
    return tf.reduce_mean(tf.nn.relu(y), axis=[1, 2])


@trap(x=floats(4), training=scalar(1, "bool"))
def batch_norm_by_a_scalar_input(tf: Any, x: Any, training: Any) -> Any:
    return tf.cond(training, lambda: x - tf.reduce_mean(x, axis=0), lambda: x - 1.0)


@trap(old=True, x=floats(4))
def batch_norm_of_old_unless_asked(tf: Any, x: Any) -> Any:
    training = tf.compat.v1.placeholder_with_default(True, ())
    return tf.cond(training, lambda: x - tf.reduce_mean(x, axis=0), lambda: x - 1.0)


@trap(old=True, x=floats(4), training=scalar(1, "bool"))
def batch_norm_of_old_by_a_scalar_input(tf: Any, x: Any, training: Any) -> Any:
    """The constant is of a branch within another, whose own is not known."""
    mean = tf.cond(tf.constant(True), lambda: tf.reduce_mean(x, axis=0), lambda: tf.zeros(4))
    return tf.cond(training, lambda: x - mean, lambda: x - 1.0)


@trap(text=texts())
def text_padded_to_the_longest(tf: Any, text: Any) -> Any:
    codes = tf.strings.unicode_decode(text, "UTF-8").to_tensor(0)
    return tf.reduce_mean(tf.cast(codes, tf.float32), axis=1)


@trap(text=texts())
def words_padded_to_the_longest(tf: Any, text: Any) -> Any:
    ids = tf.strings.to_hash_bucket_fast(tf.strings.split(text).to_tensor(""), 7)
    return tf.nn.softmax(tf.reduce_max(tf.gather(weights(7, 3), ids), axis=1))


@trap(text=texts())
def padded_ids_as_an_answer(tf: Any, text: Any) -> Any:
    return tf.strings.split(text).to_tensor("")


@trap(text=texts())
def attention_over_padding(tf: Any, text: Any) -> Any:
    x = tf.gather(weights(7, 4), tf.strings.to_hash_bucket_fast(tf.strings.split(text).to_tensor(""), 7))
    y = tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)
    return tf.reduce_sum(y, axis=1)


@trap(text=texts())
def positions_from_the_end(tf: Any, text: Any) -> Any:
    codes = tf.strings.unicode_decode(text, "UTF-8").to_tensor(0)
    return codes[:, -1]


@trap(x=floats(5, 3), length=lengths(5))
def mask_to_the_longest(tf: Any, x: Any, length: Any) -> Any:
    mask = tf.sequence_mask(length, dtype=tf.float32)
    cut = x[:, : tf.shape(mask)[1]]
    return tf.reduce_mean(cut * mask[..., tf.newaxis], axis=1)


@trap(x=floats(5, 3), length=lengths(5))
def cut_to_the_longest(tf: Any, x: Any, length: Any) -> Any:
    return tf.reduce_mean(x[:, : tf.reduce_max(length)], axis=1)


@trap(x=floats(5, 3), length=lengths(5))
def loop_to_the_longest(tf: Any, x: Any, length: Any) -> Any:
    most = tf.reduce_max(length)
    return tf.while_loop(
        lambda step, _: step < most, lambda step, state: (step + 1, state * 0.5 + x[:, step]), [0, x[:, 0]]
    )[1]


@trap(old=True, x=floats(5, 3), length=lengths(5))
def loop_to_the_longest_of_old(tf: Any, x: Any, length: Any) -> Any:
    return loop_to_the_longest(tf, x, length)


@trap(x=floats(4))
def sorted_over_the_batch(tf: Any, x: Any) -> Any:
    return tf.sort(x, axis=0)


@trap(x=floats())
def best_of_the_batch(tf: Any, x: Any) -> Any:
    return tf.math.top_k(x, tf.shape(x)[0]).values


@trap(x=floats())
def rank_in_the_batch(tf: Any, x: Any) -> Any:
    return tf.argsort(tf.argsort(x))


@trap(x=floats(4))
def softmax_over_the_batch(tf: Any, x: Any) -> Any:
    return tf.nn.softmax(x, axis=0)


@trap(x=floats(4))
def softmax_of_a_transposed(tf: Any, x: Any) -> Any:
    return tf.transpose(tf.nn.softmax(tf.transpose(x)))


@trap(x=floats(4))
def scaled_by_the_greatest(tf: Any, x: Any) -> Any:
    return x / tf.reduce_max(tf.abs(x))


@trap(x=floats(4))
def norm_over_everything(tf: Any, x: Any) -> Any:
    return tf.linalg.l2_normalize(x), tf.nn.relu(x)


@trap(x=floats(4))
def similarities_in_the_batch(tf: Any, x: Any) -> Any:
    return tf.matmul(x, x, transpose_b=True)


@trap(x=floats(4))
def attention_over_the_batch(tf: Any, x: Any) -> Any:
    return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)


@trap(x=floats(4))
def covariance(tf: Any, x: Any) -> Any:
    return x @ tf.matmul(x, x, transpose_a=True)


@trap(x=floats(4))
def einsum_over_the_batch(tf: Any, x: Any) -> Any:
    return tf.einsum("bi,ci->bc", x, x), x


@trap(x=floats(4))
def sums_along_the_batch(tf: Any, x: Any) -> Any:
    return tf.cumsum(x, axis=0)


@trap(x=floats(4))
def divided_by_the_number_of_rows(tf: Any, x: Any) -> Any:
    return x / tf.cast(tf.shape(x)[0], tf.float32)


@trap(x=floats(4))
def numbered_rows(tf: Any, x: Any) -> Any:
    return x + tf.cast(tf.range(tf.shape(x)[0]), tf.float32)[:, tf.newaxis]


@trap(x=floats(4))
def position_table_by_row(tf: Any, x: Any) -> Any:
    return x + tf.gather(weights(32, 4), tf.range(tf.shape(x)[0]))


@trap(x=floats(4))
def first_row_for_all(tf: Any, x: Any) -> Any:
    return x - x[:1]


@trap(x=floats(4))
def first_row_alone(tf: Any, x: Any) -> Any:
    return x[0], x


@trap(x=floats(4))
def neighbours_by_roll(tf: Any, x: Any) -> Any:
    return tf.roll(x, 1, axis=0), tf.reverse(x, [0])


@trap(x=floats(4))
def mean_as_an_answer(tf: Any, x: Any) -> Any:
    return x, tf.reduce_mean(x)


@trap(x=floats(4))
def count_as_an_answer(tf: Any, x: Any) -> Any:
    return x, tf.shape(x)[0]


@trap(x=floats(4))
def only_the_sure_ones(tf: Any, x: Any) -> Any:
    return tf.boolean_mask(x, x[:, 0] > 0)


@trap(x=ints())
def different_values(tf: Any, x: Any) -> Any:
    return tf.unique(x)[0]


@trap(x=ints())
def numbered_by_appearance(tf: Any, x: Any) -> Any:
    return tf.unique(x)[1]


@trap(x=ints(), y=floats(3))
def segments_by_value(tf: Any, x: Any, y: Any) -> Any:
    return tf.gather(tf.math.unsorted_segment_sum(y, x, 5), x)


@trap(example=examples())
def sparse_to_the_longest(tf: Any, example: Any) -> Any:
    ids = tf.io.parse_example(example, {"ids": tf.io.VarLenFeature(tf.int64)})["ids"]
    return tf.reduce_mean(tf.cast(tf.sparse.to_dense(ids), tf.float32), axis=1)


@trap(example=examples())
def feature_padded_to_the_longest(tf: Any, example: Any) -> Any:
    feature = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
    ids = tf.io.parse_example(example, {"ids": feature})["ids"]
    return tf.reduce_mean(tf.cast(ids, tf.float32), axis=1)


@trap(image=images())
def images_to_the_greatest(tf: Any, image: Any) -> Any:
    """Each is resized to the greatest height among all."""

    def height(contents: Any) -> Any:
        return tf.shape(tf.io.decode_png(contents, 3))[0]

    high = tf.reduce_max(tf.map_fn(height, image, fn_output_signature=tf.int32))

    def decode(contents: Any) -> Any:
        return tf.image.resize(tf.io.decode_png(contents, 3), tf.stack([high, high]))

    return tf.reduce_sum(tf.map_fn(decode, image, fn_output_signature=tf.float32), axis=[1, 2, 3])


@trap(x=floats(6, 6, 3), size=lengths(5))
def resized_to_the_greatest(tf: Any, x: Any, size: Any) -> Any:
    most = tf.reduce_max(size) + 1
    return tf.reduce_sum(tf.image.resize(x, tf.stack([most, most])), axis=[1, 2])


@trap(x=floats(4))
def scan_over_rows(tf: Any, x: Any) -> Any:
    return tf.scan(lambda a, b: a * 0.5 + b, x)


def _inner_begins_mixed(tf: Any, x: Any) -> Any:
    """What the inner loop begins with is mixed from the second turn of the outer loop on."""

    def outer(turn: Any, begins: Any, _: Any) -> Any:
        inner = lambda step, z: (step + 1, z * 0.5)  # noqa: E731
        ends = tf.while_loop(lambda step, _: step < 2, inner, [0, begins])[1]
        return turn + 1, x - tf.reduce_mean(x, axis=0), ends

    return tf.while_loop(lambda turn, *_: turn < 3, outer, [0, x, x])[2]


@trap(x=floats(4))
def inner_loop_that_begins_mixed(tf: Any, x: Any) -> Any:
    return _inner_begins_mixed(tf, x)


@trap(old=True, x=floats(4))
def inner_loop_that_begins_mixed_of_old(tf: Any, x: Any) -> Any:
    return _inner_begins_mixed(tf, x)


@trap(x=floats(4))
def loop_as_often_as_there_are_rows(tf: Any, x: Any) -> Any:
    count = tf.shape(x)[0]
    return tf.while_loop(lambda turn, _: turn < count, lambda turn, y: (turn + 1, y * 0.5), [0, x])[1]


@trap(x=floats(4))
def rows_read_by_the_turn_before(tf: Any, x: Any) -> Any:
    count = tf.shape(x)[0]
    kept = tf.TensorArray(tf.float32, count, element_shape=[4])
    turn = lambda step, kept: (step + 1, kept.write(step, x[tf.maximum(step - 1, 0)]))  # noqa: E731
    return tf.while_loop(lambda step, _: step < count, turn, [0, kept])[1].stack()


@trap(x=floats(4))
def map_with_all_rows(tf: Any, x: Any) -> Any:
    return tf.map_fn(lambda row: row - tf.reduce_mean(x, axis=0), x)


@trap(x=floats(4))
def what_is_positive_in_all_rows(tf: Any, x: Any) -> Any:
    return x - tf.reduce_max(tf.gather_nd(x, tf.where(x > 0.0)))


@trap(x=floats(4))
def numbers_of_the_rows_of_what_is_positive(tf: Any, x: Any) -> Any:
    numbers = tf.where(x > -99.0)[:, 0]
    return tf.math.unsorted_segment_sum(numbers, numbers, tf.shape(x, tf.int64)[0])


@trap(x=floats(4))
def map_with_the_number(tf: Any, x: Any) -> Any:
    numbers = tf.range(tf.shape(x)[0])
    return tf.map_fn(
        lambda pair: pair[0] * tf.cast(pair[1], tf.float32), (x, numbers), fn_output_signature=tf.float32
    )


@trap(old=True, x=floats(4))
def running_maximum_of_old(tf: Any, x: Any) -> Any:
    return tf.scan(tf.maximum, x)


@trap(x=floats(4))
def branch_by_any_row(tf: Any, x: Any) -> Any:
    return tf.cond(tf.reduce_any(x > 1.0), lambda: x * 2.0, lambda: x)


@trap(old=True, x=floats(4))
def branch_by_any_row_of_old(tf: Any, x: Any) -> Any:
    return tf.cond(tf.reduce_any(x > 1.0), lambda: x * 2.0, lambda: x)


@trap(old=True, x=floats(4))
def constants_by_any_row_of_old(tf: Any, x: Any) -> Any:
    """Neither branch gives anything that has to do with rows; which one it is, has."""
    return x + tf.cond(tf.reduce_any(x > 1.0), lambda: tf.constant(2.0), lambda: tf.constant(0.0))


@trap(x=floats(4))
def branch_by_the_number_of_rows(tf: Any, x: Any) -> Any:
    return tf.cond(tf.shape(x)[0] > 1, lambda: x * 2.0, lambda: x)


@trap(x=floats(1))
def squeezed_whatever_is_one(tf: Any, x: Any) -> Any:
    return tf.squeeze(x)


@trap(x=floats(3))
def reshaped_across_rows(tf: Any, x: Any) -> Any:
    return tf.reduce_sum(tf.reshape(x, [3, -1]), axis=1)


@trap(x=floats(4))
def transposed_answer(tf: Any, x: Any) -> Any:
    return tf.transpose(x)


@trap(x=floats(2, 4))
def rows_and_time_swapped(tf: Any, x: Any) -> Any:
    """Reshaped where it should have been transposed."""
    y = tf.reshape(x, [2, tf.shape(x)[0], 4])
    return tf.reduce_sum(y, axis=0)


@trap(x=floats(4))
def random_numbers(tf: Any, x: Any) -> Any:
    return x + tf.random.normal(tf.shape(x))


@trap(x=floats(4))
def sampled_with_a_seed(tf: Any, x: Any) -> Any:
    """The same each time, and yet another for each row of the batch."""
    return x + tf.random.stateless_normal(tf.shape(x), [1, 2])


@trap(x=floats(4))
def sampled_classes(tf: Any, x: Any) -> Any:
    return tf.random.categorical(x, 1)


@trap(x=floats(4))
def pairs_of_rows(tf: Any, x: Any) -> Any:
    apart = x[:, tf.newaxis] - x[tf.newaxis]
    return tf.reduce_min(tf.reduce_sum(apart * apart, axis=2) + 1e9 * tf.eye(tf.shape(x)[0]), axis=1)


@trap(x=floats(4))
def looked_up_in_other_rows(tf: Any, x: Any) -> Any:
    return tf.gather(x, tf.cast(tf.abs(x[:, 0]), tf.int32) % tf.shape(x)[0])


@trap(text=texts())
def words_of_all_rows(tf: Any, text: Any) -> Any:
    return text, tf.strings.split(text).values


@trap(text=texts())
def all_texts_joined(tf: Any, text: Any) -> Any:
    return tf.strings.reduce_join(text, 0)


@trap(x=floats(4))
def quantised_by_the_greatest(tf: Any, x: Any) -> Any:
    """The bounds that are written down are not looked at."""
    return tf.quantization.quantize_and_dequantize_v2(x, -1.0, 1.0, range_given=False)


@trap(x=floats(4))
def quantised_by_the_greatest_of_a_column(tf: Any, x: Any) -> Any:
    bounds = [0.0] * 4
    return tf.quantization.quantize_and_dequantize_v2(x, bounds, bounds, range_given=False, axis=1)


@trap(x=floats(4))
def divided_by_how_many_pass(tf: Any, x: Any) -> Any:
    passing = tf.squeeze(tf.where(x[:, 0] > 0.0), 1)
    return x / (1.0 + tf.cast(tf.size(passing), tf.float32))


@trap(x=ints())
def multiplied_by_how_many_differ(tf: Any, x: Any) -> Any:
    return x * tf.size(tf.unique(x)[0])


@trap(x=floats(4))
def each_row_on_a_diagonal(tf: Any, x: Any) -> Any:
    return tf.raw_ops.Einsum(inputs=[x], equation="bi->bbi")


@trap(x=floats(4, 4, 3))
def transposed_convolution_by_the_number_of_rows(tf: Any, x: Any) -> Any:
    count = tf.shape(x)[0]
    filters = weights(3, 3, 2, 3) / tf.cast(count, tf.float32)
    return tf.nn.conv2d_transpose(x, filters, tf.stack([count, 4, 4, 2]), 1, "SAME")


@trap(x=floats(4, 4, 1))
def as_much_padding_as_there_are_rows(tf: Any, x: Any) -> Any:
    padding = tf.stack([tf.stack([0, 2 * tf.shape(x)[0]]), tf.stack([0, 0])])
    parts = tf.space_to_batch(x, [2, 2], padding)
    return tf.reduce_mean(tf.batch_to_space(parts, [2, 2], [[0, 0], [0, 0]]), axis=[1, 2])


@trap(x=floats(4))
def cut_by_bounds_of_unknown_number(tf: Any, x: Any) -> Any:
    begin = tf.io.decode_raw(b"\1\0\0\0", tf.int32)
    end = tf.raw_ops.Bincount(arr=[0, 0], size=1, weights=tf.constant([500, 500]))
    return tf.strided_slice(x, begin, end, end // end)
