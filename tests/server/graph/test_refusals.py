from __future__ import annotations

import pytest

from hotgraph_server.graph.refusals import essence

SEVERAL = (
    "2 root error(s) found.\n  (0) OUT_OF_RANGE: too short\n\t [[{{node a}}]]\n\t [[b/_3]]\n"
    "  (1) OUT_OF_RANGE: too short\n\t [[{{node a}}]]\n0 successful operations.\n0 derived errors ignored."
)
AT = "Detected at node 'a' defined at (most recent call last):\n  File \"x.py\", line 1\nNode: 'a'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("too short\n\t [[{{node a}}]]", "too short\n\t [[{{node a}}]]"),
        (SEVERAL, "too short\n\t [[{{node a}}]]\n\t [[b/_3]]"),
        ("1 root error(s) found.\n  (0) UNKNOWN: odd\n0 successful operations.\n0 derived", "odd"),
        ("Graph execution error:\n\ntoo short", "too short"),
        (f"Graph execution error:\n\n{AT}{AT}too short", "too short"),
        (f"Graph execution error:\n\n{AT}{SEVERAL}", "too short\n\t [[{{node a}}]]\n\t [[b/_3]]"),
        (
            "Graph execution error:\n\nCould not find variable a/b. This could mean that the variable ...",
            "a/b is a variable without a value: neither the SavedModel's ops nor its checkpoint gives it one;"
            " if it is a Keras model, write it with model.export(DIR)",
        ),
        (f"what the op quotes: {SEVERAL}", f"what the op quotes: {SEVERAL}"),
    ],
)
def test_words_of_the_error_that_matters(text: str, words: str) -> None:
    assert essence(text) == words
