"""The same run on a dask cluster: here one of two processes on this machine, elsewhere SLURM or Kubernetes.

What travels is the geometry of tiles and the path of the slide, never pixels, so slide and output must lie where
every worker can reach them.

    python examples/cluster.py IMAGE OUT.ome.zarr
"""

import argparse
from pathlib import Path

from distributed import Client, LocalCluster

import napari_seamless as ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, help="only so many rows (and columns) from the top left corner")
    given = parser.parse_args()

    region = None if given.rows is None else ns.Region.of((0, given.rows), (0, given.rows))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        result = ns.run("stain", ns.open_image(given.slide), region=region, scheduler=client, output=given.output)
        print(result.report)


if __name__ == "__main__":
    main()
