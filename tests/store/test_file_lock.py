"""A locked file is one process's, or one holder's in it, until that closes it or ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

from napari_seamless.file_lock import is_locked, locked, open_locked


def test_a_lock_is_for_one_and_ends_when_its_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    file = open_locked(path)
    assert file is not None
    assert is_locked(path)
    assert open_locked(path) is None
    os.close(file)
    assert not is_locked(path)


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"""
from pathlib import Path
from napari_seamless.file_lock import open_locked
open_locked(Path({str(path)!r}))
print("locked", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert is_locked(path)
        other.kill()
    with locked(path) as is_ours:
        assert is_ours


def test_asking_from_several_threads_makes_no_lock_appear(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    seen: list[bool] = []
    threads = [Thread(target=lambda: seen.extend(is_locked(path) for _ in range(50))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 100


def test_a_file_that_may_only_be_read_can_be_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o444)
    assert not is_locked(path)
