"""Which tile when: the agenda of what is left, two schedulers that work through it, and the run that drives them.

`serial` is the oracle, `dask_cluster` the one for work; import them by their module, so that asking for one does
not load the other's libraries.
"""
