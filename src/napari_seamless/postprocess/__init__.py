"""From the output of a network to objects, streaming and exact."""
