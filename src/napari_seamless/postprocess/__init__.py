"""From the output of a network to objects, streaming and exact.

    a tile's output --> propose (workers, pure) --> candidates
    candidates of tiles, in any order --> settle (one thread) --> objects that nothing unread can change,
                                                                  provisional ones, tiles that can be painted
    a tile's objects --> paint (workers, pure) --> a label image

`step.py` has the Protocols and values of this seam, `steps.py` the table of all steps by name, `object_table.py` what
comes out. An object's id follows from its place alone, so neither tiles nor their order show in a result.
"""
