"""`hotgraph loadtest`: calls at a rate that is asked for, and what became of them.

What it promises:

- An open loop: calls are due by an absolute schedule, whether or not earlier ones are answered, and a call's
  latency counts from the moment at which it was due (coordinated omission is what other ways suffer from).
- The sender says how late it was itself. Where that could have changed a figure, the step is void.
- Calls are sent from processes of their own, so that neither the terminal nor a page slows them; their
  histograms are merged, and no percentile is ever averaged.
- Answers are looked at after the load, not during it.
- No TensorFlow, and of other packages those of the extra `loadtest`.

The way of the data: options and target, a dialect (what the server speaks), inputs as payloads, an
assignment for each process, intervals of a second back from it, a step out of them, a document of steps;
the document is what --json writes and what the report is drawn from (document.py).
"""
