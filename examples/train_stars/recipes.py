"""A trained network as a recipe: weights, what its input is, how polygons are read from it, and its card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import napari_seamless as ns
from napari_seamless.models.networks.stars import StarNetwork
from napari_seamless.postprocess.polygons.step import StarPolygons

DATA_LICENCE = (
    "CC0-1.0 (2018 Data Science Bowl, BBBC038; CellBinDB, its lung image cut from a public data set of 10x Genomics; "
    "PUMA) and CC-BY-4.0 (TNBC: P. Naylor, M. Laé, F. Reyal, T. Walter, IEEE TMI 2019, doi 10.5281/zenodo.2579118)"
)
STAINED: Mapping[str, Any] = {
    "name": "nuclei-he",
    "title": "Nuclei in stained tissue as single objects (H&E, RGB, 20x to 40x)",
    "input": {
        "channels": ["red", "green", "blue"],
        "dtype": "uint8",
        "scaling": {"kind": "range", "low": 0, "high": 255, "to": [1, 0]},
    },
    # 20x to 40x as they are: training made nuclei half to 1.8 times as large
    "resolution": {"pixel_size": 0.35, "tolerance": 0.5, "required": False},
    "card": {
        "task": "single nuclei in tissue stained with haematoxylin, with or without eosin",
        "data": "2018 Data Science Bowl (stained images of both stages), TNBC, PUMA, CellBinDB: 140 images",
        "data_licence": DATA_LICENCE,
        "limits": [
            "other stains than haematoxylin and eosin, such as DAB, were not in training",
            "nuclei below 8 or above 90 pixels across are missed; resample, or say the pixel size",
            "pale, vesicular and out-of-focus nuclei are missed more often than dark ones",
            "flakes of keratin, dirt beside the tissue, pigment and folds are taken for nuclei: choose the tissue",
            "not a medical device",
        ],
    },
}
FLUORESCENCE: Mapping[str, Any] = {
    "name": "nuclei-fluorescence",
    "title": "Nuclei in fluorescence as single objects (one channel, any bit depth)",
    "input": {"channels": ["nuclei"], "scaling": {"kind": "percentile", "low": 1, "high": 99.8}},
    "card": {
        "task": "single nuclei, bright on a dark ground, in one channel",
        "data": "2018 Data Science Bowl stage 1 training set (Broad Institute, BBBC038), with the corrections of "
        "kaggle-dsbowl-2018-dataset-fixes: the images of fluorescence that are not held out",
        "data_licence": "CC0-1.0",
        "limits": [
            "nuclei below 8 or above 100 pixels across are missed",
            "percentiles 1 and 99.8 of the whole image become 0 and 1: where nuclei fill less than 0.2 % of it, they "
            "count as too bright",
            "thick samples with nuclei above each other were not in training",
            "not a medical device",
        ],
    },
}
RECIPES: Mapping[str, Mapping[str, Any]] = {"stained": STAINED, "fluorescence": FLUORESCENCE}


def write_recipe(folder: Path, kind: str, network: StarNetwork, step: StarPolygons, report: Mapping[str, Any]) -> Path:
    """Write the recipe of this kind into a folder of its name, in place of one that is there."""
    about = RECIPES[kind]
    target = folder / about["name"]
    if target.exists():
        shutil.rmtree(target)
    fields = {
        **about,
        "network": {"architecture": "stars", "arguments": {"inputs": len(about["input"]["channels"])}},
        "input": {**about["input"], "multiple_of": network.stride},
        "output": {"kind": "image", "classes": [{"value": 1, "name": "nucleus", "colour": "#1fd160"}]},
        "postprocess": {
            "method": "polygons",
            "probability": step.probability,
            "overlap": step.overlap,
            "border": step.border,
        },
        "card": {**about["card"], "weights_licence": "BSD-3-Clause", **_figures(report)},
    }
    return ns.save_recipe(target, network, fields)


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of a card, one a source."""
    names = {"images": "images", "objects": "nuclei", "found": "found", "f1": "f1_at_0.5_iou", "pq": "pq", "aji": "aji"}
    scores = {
        source: {name: one[key] for key, name in names.items()} | {"ap_0.5_to_0.9": [one[k] for k in one if "ap_" in k]}
        for source, one in report["scores"].items()
    }
    return {
        "held_out": scores,
        "held_out_how": "images that training never saw, of the sources that it saw; half of those held out chose the "
        "thresholds, these are the others; nuclei of all images together, found when the intersection over union is "
        "more than 0.5",
        "training": {"steps": report["step"], **report["training"]},
    }
