from __future__ import annotations

import numpy as np

from hotgraph_server.signatures import Content, Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.warmup.synthetic_inputs import Kind, described, generate, scalar_choices, sizes

from ..fakes import signature

FLOAT32, INT64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)


def with_inputs(*specs: tuple[str, np.dtype[np.generic], tuple[int | None, ...]]) -> Signature:
    return Signature("s", tuple(TensorSpec(alias, alias, dtype, shape) for alias, dtype, shape in specs), ())


def test_free_dimensions_have_sizes_from_small_to_large_and_others_have_none() -> None:
    assert sizes(signature(), 3) == [8]
    assert sizes(signature(inputs={"x": (None, None, None, 3)}), 3) == [8, 32, 224]


def test_no_size_makes_an_input_larger_than_a_few_images() -> None:
    """A volume of the largest size would be three hundred times the largest image."""
    assert sizes(signature(inputs={"v": (None, None, None, None, 1)}), 3) == [8, 32, 70]
    assert sizes(signature(inputs={"x": (None, None, 10**9)}), 3) == [1]


def test_generated_shapes_follow_the_signature() -> None:
    image = with_inputs(("x", FLOAT32, (None, None, 3)))
    assert [generate(image, 2, Kind(size, 1000))[0].shape for size in (8, 32)] == [(2, 8, 3), (2, 32, 3)]
    one, two = generate(with_inputs(("x", FLOAT32, (1, 3)), ("factor", FLOAT32, ())), 2, Kind(8, 1000))
    assert (one.shape, two.shape) == ((1, 3), ())


def test_strings_whose_content_is_known_hold_it_and_neighbours_differ() -> None:
    images = Content("JPEG images", (b"one", b"two", b"three"))
    spec = TensorSpec("image", "i", STRING, (None,))
    one = Signature("s", (spec,), (), contents={"image": images})
    (texts,) = generate(one, 5, Kind(8, 1000))
    assert texts.dtype == STRING
    assert set(texts[:3]) == set(images.samples)
    assert set(texts[3:]) < set(images.samples)
    (texts,) = generate(Signature("s", (spec,), (), contents={"image": images}), 0, Kind(8, 1000))
    assert texts.shape == (0,)


def test_kind_is_told_as_far_as_it_was_a_choice() -> None:
    one = with_inputs(("ids", INT64, (None, None)), ("text", STRING, (None,)))
    assert described(one, Kind(8, 100)) == "free dimensions of 8, integers below 100, words"
    assert described(with_inputs(("x", FLOAT32, (None, 3))), Kind(8, 100)) == ""


def test_texts_of_one_batch_differ_in_length_and_the_longest_may_be_anywhere() -> None:
    words = signature(inputs={"text": (None,)}, dtype=STRING)
    longest_at = set()
    for seed in range(20):
        (texts,) = generate(words, 3, Kind(8, 1000), seed=seed)
        lengths = [len(text.split()) for text in texts]
        assert len(set(lengths)) == 3
        longest_at.add(int(np.argmax(lengths)))
        assert all(text.decode() for text in texts)
    assert longest_at == {0, 1, 2}


def test_numerals_can_be_read_as_numbers() -> None:
    words = signature(inputs={"text": (None, 2)}, dtype=STRING)
    (numerals,) = generate(words, 3, Kind(8, 10, numerals=True))
    assert all(0 <= float(text) < 10 for text in numerals.ravel())


def test_same_signature_always_gets_the_same_inputs_and_another_seed_others() -> None:
    one = signature(dtype=STRING)
    first, again, other = (generate(one, 3, Kind(8, 1000), seed=seed) for seed in (0, 0, 1))
    assert first[0].tolist() == again[0].tolist() != other[0].tolist()


def test_single_dimensions_can_be_given_their_size() -> None:
    one = with_inputs(("ids", INT64, (None, None)), ("image", FLOAT32, (None, None, 3)))
    ids, image = generate(one, 2, Kind(8, 1000), sizes={(0, 1): 5})
    assert (ids.shape, image.shape) == ((2, 5), (2, 8, 3))


def test_both_positions_of_a_switch_are_worth_a_try() -> None:
    one = with_inputs(("x", FLOAT32, (None, 2)), ("training", BOOL, ()), ("factor", FLOAT32, ()))
    choices = list(scalar_choices(one))
    assert {choice[0] for choice in choices} == {False, True}
    _, training, factor = generate(one, 3, Kind(8, 1000), scalars=choices[-1])
    assert (training.dtype, training.shape, bool(training)) == (BOOL, (), True)
    assert (factor.dtype, float(factor)) == (FLOAT32, 2.0)


def test_many_scalars_are_not_tried_in_every_combination() -> None:
    one = with_inputs(*((name, INT64, ()) for name in "abcdefgh"))
    assert len(list(scalar_choices(one))) == 16


def test_without_scalars_or_with_a_string_among_them_there_is_nothing_to_choose() -> None:
    assert list(scalar_choices(signature())) == []
    assert list(scalar_choices(with_inputs(("mode", STRING, ()), ("training", BOOL, ())))) == []
