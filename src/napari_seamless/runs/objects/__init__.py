"""From the tiles of a run to objects, while it goes on.

::

    tiles of the output --commit--> candidates (candidate_output.py says what of it is kept)
                                        |  chunk by chunk, in a thread of its own (stream.py)
                                    settle: what nothing unread can change
                                        |
                                    labels, and a table for each of their chunks (tables.py)

`plan.py` says how cells of the output lie on the labels, `stores.py` where both are kept, and `reading.py` reads
objects of a finished result, or makes them again with other settings.
"""
