"""What is told of single objects: one row each, of painted labels and the image under them, in bounded memory.

    found.py       a first pass over the labels: which objects there are, their pixels, centroids and boxes
    kernels.py     compiled loops over the pixels of an object's box
    shapes.py      perimeter, axes and solidity from whole numbers
    intensities.py channels and stains under objects
    batches.py     objects by their places, so that each is measured once, whole, in one order of its pixels
    rows.py        the columns, as a stream of rows

An object is measured as a whole, never added up from tiles: its numbers are the same, bit for bit, however labels are
stored and read.
"""
