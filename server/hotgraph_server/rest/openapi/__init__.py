"""What can be called, for programs and for people: /openapi.json and /docs.

    describing.py      live versions to plain descriptions
    examples.py        a call that a signature takes, small enough to be read          pure
    schemas.py         what tensors look like in JSON                                  pure
    v1.py, v2.py       a signature's calls in either protocol                          pure
    administration.py  all other paths, as a table                                     pure
    document.py        descriptions to the document                                    pure
    page.py            the page that shows it, with its scripts
    api.py             where they are found

Nothing here answers a call: what is written here is what the protocols' rooms do.
"""
