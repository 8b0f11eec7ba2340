"""One network on one image, from what was asked to what is kept.

prepare (trace) --> tiling --> exact passes --> run --> result
"""
