"""Training on images that do not fit.

`gradients` streams exact gradients of whole images, `patchgd` and `buckets` are two published ways around them, `data`
and `losses` are what is learned, `loop` trains, `from_files` is `train` and `teach` is `Lesson`. Each imports only from
those before it.
"""
