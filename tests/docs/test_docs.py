"""What the pages of docs/ show is run, page by page, from top to bottom, beside a slide.

Pages that show lines for files of one's own have a test of their own.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from napari_seamless.cli import main
from napari_seamless.io.readers import sample_slide

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TESTED_BESIDE = {
    "measure.md": "test_docs_measure.py",
    "own-network.md": "test_readme.py",
    "training.md": "../training/gradients/test_lightning.py",
    "training-systems.md": "test_training_docs.py",
}
FENCED = re.compile(r"```(python|shell)\n(.*?)```", flags=re.DOTALL)


SHOWN = [p for p in PAGES if FENCED.search(p.read_text(encoding="utf-8")) and p.name not in TESTED_BESIDE]


def run_shell(lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in lines.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "napari-seamless"
        assert main(arguments) == 0, (line, capsys.readouterr().err)


@pytest.mark.parametrize("page", SHOWN, ids=lambda p: p.name)
def test_what_a_page_shows_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    if "sample slide.svs" not in text:
        shutil.copyfile(sample_slide(), tmp_path / "slide.svs")
    names: dict[str, object] = {"__name__": "__main__"}
    for language, code in FENCED.findall(text):
        if language == "shell":
            run_shell(code, capsys)
        else:
            exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("test", TESTED_BESIDE.values())
def test_a_page_with_a_test_of_its_own_has_it(test: str) -> None:
    assert (Path(__file__).parent / test).is_file()


def links() -> list[tuple[Path, str]]:
    """Every file that a page points to."""
    return [(p, t) for p in PAGES for t in re.findall(r"\]\(([^)#:]+)\)", p.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: getattr(value, "name", value))
def test_every_file_that_a_page_points_to_is_there(page: Path, target: str) -> None:
    assert (page.parent / target).exists()
