"""What a model file says may choose among a library's networks: nothing is fetched, read, started or blown up by it."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_seamless.errors import ModelError, NotTrusted
from napari_seamless.models import architecture, load_model
from napari_seamless.models.architecture import build

SOURCE = """
import os, socket, subprocess, sys, urllib.request
from pathlib import Path
from torch import nn

PORT, SECRET = {port}, {secret!r}

def _swallowing(reach):
    try:
        reach()
    except Exception:
        pass
    return nn.Conv2d(1, 2, 3)

class Honest(nn.Conv2d):
    def __init__(self, width=2, mode="same"):
        super().__init__(1, width, 3)

def Fetching():
    return _swallowing(lambda: urllib.request.urlopen(f"http://127.0.0.1:{{PORT}}/a"))

def Connecting():
    return _swallowing(lambda: socket.create_connection(("127.0.0.1", PORT)))

def Naming():
    return _swallowing(lambda: socket.getaddrinfo("example.org", 80))

def Reading():
    return _swallowing(lambda: Path(SECRET).read_text())

def Writing():
    return _swallowing(lambda: Path(SECRET + ".new").write_text("x"))

def Removing():
    return _swallowing(lambda: os.remove(SECRET))

def Starting():
    return _swallowing(lambda: subprocess.run([sys.executable, "--version"]))

def Slow(go_on, done):
    go_on.set()
    done.wait(10)
    return nn.Conv2d(1, 1, 1)

class Eager(nn.Conv2d):
    def __init__(self, pretrained=True, width=2):
        if pretrained:
            urllib.request.urlopen(f"http://127.0.0.1:{{PORT}}/b")
        super().__init__(1, width, 3)

def Trained(state="weights.pt"):
    return _swallowing(lambda: open(state).read())
"""


@pytest.fixture
def requests() -> Iterator[tuple[int, list[str]]]:
    """A server's port, and the paths that it was asked for."""
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("nobody's business")
    return tmp_path / "secret.txt"


@pytest.fixture(autouse=True)
def library(
    tmp_path: Path, secret: Path, requests: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A library of the table whose networks reach out, and take no for an answer."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "reaching.py").write_text(SOURCE.format(port=requests[0], secret=str(secret)))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setattr(architecture, "LIBRARIES", {"reaching": ("reaching", {})})
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "data"))
    yield
    import sys

    sys.modules.pop("reaching", None)


def recipe(folder: Path, network: nn.Module, arguments: str = "{}", name: str = "reaching:Honest") -> Path:
    (folder / "recipe").mkdir()
    torch.save(network.state_dict(), folder / "recipe" / "weights.pt")
    (folder / "recipe" / "recipe.toml").write_text(
        f'schema = 1\nname = "mine"\n[network]\narchitecture = "{name}"\narguments = {arguments}\n'
        'weights = "weights.pt"\n[input]\nchannels = ["grey"]\n[output]\nkind = "image"\n'
    )
    return folder / "recipe"


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("Fetching", r"the network \('http://127\.0\.0\.1"),
        ("Connecting", "the network"),
        ("Naming", r"the network \('example\.org'\)"),
        ("Reading", r"the file '.*secret\.txt'"),
        ("Writing", "a file to write to it"),
        ("Removing", "a file to change it"),
        ("Starting", "another program or thread"),
        ("Trained", r"the file 'weights\.pt'"),
    ],
)
def test_a_library_that_reaches_out_for_a_recipe_is_stopped_even_if_it_takes_no_for_an_answer(
    name: str, reached: str, tmp_path: Path, secret: Path, requests: tuple[int, list[str]]
) -> None:
    with pytest.raises(ModelError, match=rf"arguments and nothing else; reaching:{name} reached for {reached}"):
        load_model(recipe(tmp_path, nn.Conv2d(1, 2, 3), name=f"reaching:{name}"))
    assert requests[1] == []
    assert secret.read_text() == "nobody's business"
    assert not secret.with_name("secret.txt.new").exists()


def test_afterwards_and_in_other_threads_everything_is_open(requests: tuple[int, list[str]], secret: Path) -> None:
    go_on, done = threading.Event(), threading.Event()
    building = threading.Thread(target=build, args=("reaching:Slow", {"go_on": go_on, "done": done}))
    building.start()
    assert go_on.wait(10)
    assert secret.read_text() == "nobody's business"
    done.set()
    building.join()
    with pytest.raises(ModelError):
        build("reaching:Fetching")
    urllib.request.urlopen(f"http://127.0.0.1:{requests[0]}/after").close()
    assert requests[1] == ["/after"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("{ pretrained = true }", "pretrained=True"),
        ('{ width = 2, options = [{ pretrained_url = "x" }] }', "pretrained_url='x'"),
        ('{ mode = "http://127.0.0.1/x" }', "may be an address or a path"),
        ('{ mode = "/etc/passwd" }', "may be an address or a path"),
        ('{ mode = "..\\\\secret" }', "may be an address or a path"),
    ],
)
def test_arguments_that_would_fetch_or_read_are_refused_by_name(arguments: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=word):
        load_model(recipe(tmp_path, nn.Conv2d(1, 2, 3), arguments))


def test_a_network_that_would_fetch_by_itself_is_told_not_to(tmp_path: Path, requests: tuple[int, list[str]]) -> None:
    network = nn.Conv2d(1, 2, 3)
    model = load_model(recipe(tmp_path, network, name="reaching:Eager"))
    image = torch.rand(1, 1, 9, 9)
    torch.testing.assert_close(model.module(image), network(image))
    assert requests[1] == []


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp/x", "../x"])
def test_a_name_of_timm_leads_to_no_hub_or_folder(name: str) -> None:
    with pytest.raises(ModelError, match=r"never from the network.*a place for timm to look at"):
        build(f"timm:{name}")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("reaching:Honest", {"width": 10**7}), ("unet", {"inputs": 1, "outputs": 1, "widths": [1] * 5_000})],
)
def test_a_network_many_times_larger_than_its_weights_is_not_made(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"a network is as large as its weights; .* many times larger"):
        build(name, arguments, weights=nn.Conv2d(1, 2, 3).state_dict())


def test_an_import_path_still_asks_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(NotTrusted):
        load_model(recipe(tmp_path, nn.Conv2d(1, 2, 3), name="elsewhere.networks:Reading"))


def test_code_of_the_callers_own_may_do_what_it_does(secret: Path, tmp_path: Path) -> None:
    (tmp_path / "lib" / "own_code.py").write_text(
        f"from torch import nn\ndef make():\n    open({str(secret)!r}).close()\n    return nn.Conv2d(1, 2, 3)\n"
    )
    assert isinstance(build("own_code:make"), nn.Conv2d)


def test_a_network_of_monai_that_is_trained_by_default_comes_without_the_network(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    network = nets.EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=1, num_classes=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture, "LIBRARIES", {"monai": ("monai.networks.nets", {})})
        arguments = '{ model_name = "efficientnet-b0", spatial_dims = 2, in_channels = 1, num_classes = 2 }'
        model = load_model(recipe(tmp_path, network, arguments, name="monai:EfficientNetBN"))
        hover = '{ adapt_standard_resnet = true, pretrained_url = "http://127.0.0.1/x" }'
        (tmp_path / "other").mkdir()
        with pytest.raises(ModelError, match="never from the network; monai:HoVerNet got pretrained_url"):
            load_model(recipe(tmp_path / "other", network, hover, name="monai:HoVerNet"))
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(model.module(image), network.eval()(image))
