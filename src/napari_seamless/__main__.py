"""``python -m napari_seamless`` is ``napari-seamless``."""

import sys

from napari_seamless.cli import main

if __name__ == "__main__":
    sys.exit(main())
