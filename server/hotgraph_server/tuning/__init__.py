"""`hotgraph tune`: which settings serve a model best at a given load, and how many replicas that takes.

What it promises:

- What runs cost is measured once, in a process of its own that loads the model as the server would
  (measuring.py), a few sizes for each way to run the graph; everything else is worked out.
- Settings are tried in the simulator that makes the queue's own decisions on a virtual clock
  (batching/simulator.py and, where little is to be decided, plain_simulator.py): the same calls for all of
  them, so that what differs is the settings.
- The settings that the model has today are always among what is tried. Others are called better only where
  they are by more than the noise; if none is, that is the verdict, and nothing is written.
- The best are confirmed by a real load, in turns with the defaults (confirmation.py). What that measures is
  held against what was predicted: the ratios are the error bar of the answer about replicas.

What is left out of predictions: the network, other models of the same server, and answers that are kept.

The way of the data: measured costs (costs.py) and traffic (traffic.py) to predictions (prediction.py), from
them the search (search.py) and replicas (replicas.py), then confirmation, and a document (document.py) that
is the report's, --json's and the table's. All but measuring, children and confirmation is pure.
"""
