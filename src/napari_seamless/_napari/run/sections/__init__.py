"""The parts of the panel, one under the other: each is a heading, its editors, and what there is to say about them."""
