"""One network on one image, from what was asked to what is kept.

::

    RunConfig (config.py)           what is asked, whoever asks: Python, shell, window
        |
    prepare (prepare.py)            model + image --trace--> ExactPrepared (exact.py)
        |                                         --refused, but asked for--> BlendedPrepared (blended.py)
    lay_out (start.py)              device, precision, statistics, part, tiles and passes; explain.py puts it into words
        |
    start_run (start.py)            opens or resumes the result (output.py), and starts
        |
    Run (run.py)                    the passes that measure (exact_passes.py), then the tiles of the output
        |                           checks.py looks at a few of them again
    Result (result.py)              the pixels, a report, moments for the next run; export.py saves a part of it

`prepared.py` has the Protocols that both kinds of network meet.
"""
