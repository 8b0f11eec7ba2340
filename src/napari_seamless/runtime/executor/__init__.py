"""Which tile when: the queue of what is left, executors that work through it, and the driver of a run.

`driver` drives a run in a thread of its own; `tile_queue` orders, `counted_queue` counts, `run_control` steers.
`executors` is the table of executors: `serial` is the oracle, `dask_executor` the one for work. Import them by their
module, so that asking for one does not load the other's libraries.
"""
