"""What comes of files that are broken on purpose, by the thousand, for every image reader and every model loader.

    python benchmarks/hostile.py --count 100      all readers and loaders, a few minutes
    python benchmarks/hostile.py --count 5000 --only TorchScript

A file is refused in one sentence, within two seconds of the processor and 200 MB, or read. Whatever else happens is a
fault, and is printed: a crash, a hang, an error that is not this package's, a message that is no sentence. Needs Linux.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "builders"))

from hostile_files import GOOD, cases, subjects

FAULTS = ("crash", "hang", "raw", "slow", "memory", "unclear")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="files for each reader and loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to see one again")
    parser.add_argument("--only", default="", help="readers and loaders with this in their name")
    given = parser.parse_args()
    print(f"| reader or loader | tries | refused | read | {' | '.join(FAULTS)} | seconds |")
    print("|---|" + "---|" * (len(FAULTS) + 4), flush=True)
    faulty = 0
    for subject in subjects():
        if given.only.casefold() not in subject.title.casefold():
            continue
        seen: Counter[str] = Counter()
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(subject, Path(folder), seed=given.seed, count=given.count, first=given.first):
                seen[case.kind] += 1
                if case.kind not in GOOD:
                    print(f"{case.number}  {case.done}\n    {case.outcome}", file=sys.stderr, flush=True)
        figures = [seen.total(), *(seen[kind] for kind in (*GOOD, *FAULTS)), round(time.monotonic() - started)]
        print(f"| {subject.title} | {' | '.join(map(str, figures))} |", flush=True)
        faulty += sum(seen[kind] for kind in FAULTS)
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
