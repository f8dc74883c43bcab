"""Foreign checkpoints: good ones are read to the bit, bad ones are named in one line and claim nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from beeline.core.errors import UserError
from beeline.data.checkpoints.reading import ForeignFile, read_foreign
from beeline.data.checkpoints.writing import write_safetensors, write_torch
from tests.data.foreign_corpus import CORPUS, EVIL, STATE, Storage, claim, diffusers_folder, torch_zip, training_file

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "diffusion_pytorch_model"
RealData = Callable[[str], Path]


def same(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    """Whether names, types, shapes and bits agree."""
    return tensors.keys() == wanted.keys() and all(
        tensor.dtype == wanted[name].dtype
        and tensor.is_contiguous()
        and tensor.layout == torch.strided
        and torch.equal(tensor, wanted[name])
        for name, tensor in tensors.items()
    )


def test_recorded_files_are_read_to_the_bit(real_data: RealData) -> None:
    folder = real_data("parity")
    for name in ("dit_small", "dit_p4c3", "sit_small", "lightning_paper", "lightning_plain"):
        path = folder / f"{name}.pt"
        read = read_foreign(path)
        assert same(read.tensors, torch.load(path, weights_only=True))
        assert (read.path, read.groups, read.options, read.config) == (path, (), {}, {})
        assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_foreign(folder / "diffusers_random")
    assert same(read.tensors, safetensors.torch.load_file(folder / "diffusers_random" / f"{WEIGHTS}.safetensors"))
    assert read.config["_class_name"] == "DiTTransformer2DModel"


def test_a_recorded_training_file_gives_its_average_and_on_request_what_was_trained(real_data: RealData) -> None:
    path = real_data("parity") / "dit_small_trainckpt.pt"
    averaged, raw = read_foreign(path), read_foreign(path, "raw")
    assert averaged.groups == raw.groups == ("model", "ema")
    assert averaged.options["args"]["num_classes"] == 10
    assert same(raw.tensors, torch.load(path.with_name("dit_small.pt"), weights_only=True))
    assert not same(averaged.tensors, raw.tensors)


def test_training_files_of_every_peer(tmp_path: Path) -> None:
    path, ema = training_file(tmp_path / "dit.pt"), {name: tensor + 1 for name, tensor in STATE.items()}
    assert same(read_foreign(path).tensors, ema)
    assert same(read_foreign(path, "raw").tensors, STATE)
    arguments = {"model": "DiT-S/2", "image_size": 64, "betas": [0.9, "inf"], "where": None}
    assert read_foreign(path).options == {"args": arguments, "epoch": 3}
    json.dumps(read_foreign(path).options, allow_nan=False)

    other = {name: tensor + 2 for name, tensor in STATE.items()}
    cases: dict[str, tuple[object, dict[str, Tensor], dict[str, Tensor]]] = {
        "lightning": ({"model": STATE, "ema": ema, "opt": {}, "config": {"depth": 2, 3: [torch.float32]}}, ema, STATE),
        "jit": ({"model": STATE, "model_ema1": ema, "model_ema2": other}, ema, STATE),
        "wrapped": ({"state_dict": STATE, "global_step": 9}, STATE, STATE),
        "no average": ({"model": STATE, "step": 1}, STATE, STATE),
    }
    for name, (tree, averaged, raw) in cases.items():
        torch.save(tree, tmp_path / name)
        assert same(read_foreign(tmp_path / name).tensors, averaged), name
        assert same(read_foreign(tmp_path / name, "raw").tensors, raw), name
    assert read_foreign(tmp_path / "lightning").options == {"config": {"depth": 2, "3": ["torch.float32"]}}
    torch.save({"ema": ema, "opt": {}}, tmp_path / "averaged.pt")
    with pytest.raises(UserError, match=r"averaged\.pt: holds averaged weights only \(ema\); ask for ema"):
        read_foreign(tmp_path / "averaged.pt", "raw")


def test_wrappers_before_every_name_are_removed_and_others_are_not(tmp_path: Path) -> None:
    for before in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."):
        write_torch(tmp_path / "wrapped.pt", {before + name: tensor for name, tensor in STATE.items()})
        assert same(read_foreign(tmp_path / "wrapped.pt").tensors, STATE), before
    mixed = {"module.one": STATE["one.weight"], "two": STATE["one.bias"]}
    write_torch(tmp_path / "mixed.pt", mixed)
    assert same(read_foreign(tmp_path / "mixed.pt").tensors, mixed)


KINDS = {
    "double": torch.tensor([1.0, -2.0], dtype=torch.float64), "half": torch.tensor([[1.5]]).half(),
    "short": torch.tensor([1.5, 3.0]).bfloat16(), "whole": torch.tensor([2**40, -1]), "none": torch.zeros(0, 3),
    "true": torch.tensor([True, False]), "one": torch.tensor(3.25), "byte": torch.tensor([200, 7], dtype=torch.uint8),
    "turned": torch.arange(6.0).reshape(2, 3).T, "part": torch.arange(100.0)[40:43],
}  # fmt: skip


@pytest.mark.parametrize("write", [write_torch, write_safetensors])
def test_what_is_written_is_read_to_the_bit_and_is_no_larger_than_needed(
    tmp_path: Path, write: Callable[[Path, dict[str, Tensor]], None]
) -> None:
    path = tmp_path / ("written.pt" if write is write_torch else "written.safetensors")
    tied = {**KINDS, "tied": KINDS["double"]}
    write(path, tied)
    first = path.read_bytes()
    assert same(read_foreign(path).tensors, tied)
    write(path, tied)
    assert path.read_bytes() == first
    write(path, {"part": torch.zeros(2**20)[:4]})
    assert path.stat().st_size < 2**12
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_safetensors_carry_the_entry_that_diffusers_asks_for(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", STATE)
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert same(safetensors.torch.load_file(tmp_path / "a.safetensors"), STATE)


def test_views_and_tied_tensors_are_read_and_stay_tied(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    torch.save(
        {"a": table, "b": table, "turned": table.T, "parameter": torch.nn.Parameter(table[1])}, tmp_path / "a.pt"
    )
    read = read_foreign(tmp_path / "a.pt").tensors
    assert same(read, {"a": table, "b": table, "turned": table.T.contiguous(), "parameter": table[1]})
    assert read["a"].data_ptr() == read["b"].data_ptr() != read["turned"].data_ptr()
    assert not read["parameter"].requires_grad


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(read_foreign(tmp_path / "a.pt").tensors, STATE)


def test_what_was_read_does_not_hang_on_the_file(tmp_path: Path) -> None:
    for name, write in (("a.pt", write_torch), ("a.safetensors", write_safetensors)):
        write(tmp_path / name, STATE)
        read = read_foreign(tmp_path / name).tensors
        with open(tmp_path / name, "r+b") as file:
            file.write(b"\xff" * (tmp_path / name).stat().st_size)
        assert same(read, STATE), name


def test_folders_whole_and_in_parts_and_linked(tmp_path: Path) -> None:
    whole = diffusers_folder(tmp_path / "whole")
    read = read_foreign(whole)
    assert same(read.tensors, STATE)
    assert read.config == {"_class_name": "Transformer2DModel"}
    weights = whole / f"{WEIGHTS}.safetensors"
    assert read.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()

    linked = diffusers_folder(tmp_path / "linked")
    weights.rename(tmp_path / "blob")
    (linked / weights.name).unlink()
    (linked / weights.name).symlink_to(tmp_path / "blob")  # as the cache of the hub does
    assert same(read_foreign(linked).tensors, STATE)
    (linked / weights.name).rename(linked / f"{WEIGHTS}.fp16.safetensors")
    assert same(read_foreign(linked).tensors, STATE)

    write_torch(whole / f"{WEIGHTS}.bin", STATE)
    assert same(read_foreign(whole).tensors, STATE)


@pytest.mark.parametrize(("ending", "index"), [("safetensors", "safetensors.index.json"), ("bin", "bin.index.json"),
                                               ("safetensors", "safetensors.index.fp16.json")])  # fmt: skip
def test_parts_are_put_together(tmp_path: Path, ending: str, index: str) -> None:
    folder = diffusers_folder(tmp_path / "parts")
    (folder / f"{WEIGHTS}.safetensors").unlink()
    names = [f"{WEIGHTS}-{k:05}-of-00002.{ending}" for k in (1, 2)]
    places = {"module.one.weight": names[1], "module.one.bias": names[0]}
    (folder / f"{WEIGHTS}.{index}").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for name, part in places.items():
        write = write_torch if ending == "bin" else write_safetensors
        write(folder / part, {name: STATE[name.removeprefix("module.")]})
    read = read_foreign(folder)
    assert same(read.tensors, STATE)
    both = b"".join((folder / name).read_bytes() for name in names)
    assert read.sha256 == hashlib.sha256(both).hexdigest()


@pytest.mark.parametrize("name", CORPUS)
def test_every_bad_file_is_named_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build, says = CORPUS[name]
    path = build(tmp_path / "bad")
    with pytest.raises(UserError) as caught:
        read_foreign(path)
    line = str(caught.value)
    assert says in line, line
    assert "\n" not in line
    assert line.startswith(str(path)), line
    assert len(line) < len(str(path)) + 320
    assert not Path(EVIL).exists()


def test_a_pickle_that_does_execute_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile pickle of the corpus does touch a file where it is loaded without care."""
    monkeypatch.chdir(tmp_path)
    path = CORPUS["a command"][0](tmp_path / "bad")
    torch.load(path, weights_only=False)
    assert Path(EVIL).exists()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_torch(tmp_path / "a.pt", STATE)
    os.chmod(tmp_path / "a.pt", 0)
    if os.access(tmp_path / "a.pt", os.R_OK):  # as root, whom nothing is forbidden

        def forbidden(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(tmp_path / "a.pt"))

        monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(UserError, match=r"a\.pt: cannot be read \(Permission denied\)"):
        read_foreign(tmp_path / "a.pt")


def _read_changed(path: Path, changed: bytes) -> ForeignFile | None:
    path.write_bytes(changed)
    try:
        return read_foreign(path)
    except UserError as error:
        named = str(error).startswith(str(path)) and "\n" not in str(error)
    assert named
    return None


Changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3)


def _changed(whole: bytes, changes: list[tuple[float, int]], length: int) -> bytes:
    data = bytearray(whole)
    for place, mask in changes:
        data[int(place * length)] ^= mask
    return bytes(data)


@settings(max_examples=400)
@given(changes=Changes)
def test_any_changed_bytes_of_a_torch_file_are_named_or_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = training_file(tmp_path_factory.getbasetemp() / "flipped.pt")
    good, whole = read_foreign(path), path.read_bytes()
    read = _read_changed(path, _changed(whole, changes, len(whole)))
    assert read is None or (same(read.tensors, good.tensors) and read.options == good.options)


@settings(max_examples=400)
@given(changes=Changes)
def test_any_changed_pickle_with_a_right_checksum_is_named_or_holds_plain_tensors(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = training_file(tmp_path_factory.getbasetemp() / "pickle.pt")
    with zipfile.ZipFile(path) as archive:
        held = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    whole = held["data.pkl"]
    storages = {name.removeprefix("data/"): data for name, data in held.items() if name.startswith("data/")}
    torch_zip(path, _changed(whole, changes, len(whole)), storages)
    read = _read_changed(path, path.read_bytes())
    if read is not None:
        assert sum(each.numel() * each.element_size() for each in read.tensors.values()) <= sum(
            map(len, storages.values())
        )
        json.dumps(read.options, allow_nan=False)


@settings(max_examples=400)
@given(changes=Changes)
def test_any_changed_bytes_of_a_safetensors_header_are_named_or_read_as_they_say(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    write_safetensors(path, KINDS)
    whole = path.read_bytes()
    data = 8 + int.from_bytes(whole[:8], "little")
    read = _read_changed(path, _changed(whole, changes, data))
    if read is not None:  # a name or the type of the numbers is another, which nothing can tell
        assert len(read.tensors) == len(KINDS)
        assert sum(each.numel() * each.element_size() for each in read.tensors.values()) == len(whole) - data
        assert all(each.reshape(-1).view(torch.uint8).numpy().tobytes() in whole for each in read.tensors.values())


@settings(max_examples=200)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_named(tmp_path_factory: pytest.TempPathFactory, place: float) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_safetensors(folder / "cut.safetensors", KINDS)
    for path in (training_file(folder / "cut.pt"), folder / "cut.safetensors"):
        whole = path.read_bytes()
        assert _read_changed(path, whole[: int(place * len(whole))]) is None


PEAK = """
def kilobytes(line):
    return int(open("/proc/self/status").read().partition(line)[2].split()[0])

class Taken:
    # ru_maxrss would begin with what the process had that started this one
    def __enter__(self):
        open("/proc/self/clear_refs", "w").write("5")
        self.before = kilobytes("VmRSS:")
        return self
    def __exit__(self, *_):
        self.most = kilobytes("VmHWM:") - self.before
"""
REFUSE_ALL = """
import json, os, resource, sys
from pathlib import Path
import torch
from beeline.core.errors import UserError
from beeline.data.checkpoints.reading import read_foreign
from tests.data.foreign_corpus import CORPUS, training_file

folder = Path(sys.argv[1])
os.chdir(folder)
torch.set_num_threads(1)
read_foreign(training_file(folder / "good.pt"))
paths = {name: build(folder / str(number)) for number, (name, (build, _)) in enumerate(CORPUS.items())}
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for name, path in paths.items():
    line = "read"
    with Taken() as taken:
        try:
            read_foreign(path)
        except UserError as error:
            line = str(error)
    print(json.dumps([name, line, taken.most]))
"""


def _alone(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PEAK + code, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel how much memory was used")
def test_nothing_is_allocated_that_a_bad_file_claims(tmp_path: Path) -> None:
    """All of them are refused in the same words where no more than 256 MB can be had, and take less than 32 MB."""
    told = {name: (line, kilobytes) for name, line, kilobytes in map(json.loads, _alone(REFUSE_ALL, tmp_path))}
    assert told.keys() == CORPUS.keys()
    for name, (line, kilobytes) in told.items():
        assert CORPUS[name][1] in line, (name, line)
        assert kilobytes < 32 * 1024, (name, kilobytes)


OPTIMISER = """
import sys
from pathlib import Path
import torch
from beeline.data.checkpoints.reading import read_foreign
from tests.data.foreign_corpus import STATE, training_file

torch.set_num_threads(1)
read_foreign(training_file(Path(sys.argv[1]) / "good.pt"))
with Taken() as taken:
    read = read_foreign(Path(sys.argv[1]) / "large.pt")
assert sorted(read.tensors) == sorted(STATE)
print(taken.most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel how much memory was used")
def test_an_optimiser_is_not_brought_into_memory(tmp_path: Path) -> None:
    torch.save({"ema": STATE, "opt": {"state": {0: {"exp_avg": torch.zeros(2**25)}}}}, tmp_path / "large.pt")
    [kilobytes] = _alone(OPTIMISER, tmp_path)
    assert int(kilobytes) < 32 * 1024  # the file has 128 MB


def test_a_storage_may_have_many_views_when_it_holds_them_all(tmp_path: Path) -> None:
    parts = {str(k): claim(Storage("0", 8), (4,), (1,), 4 * k) for k in range(2)}
    numbers = torch.arange(8.0)
    path = torch_zip(tmp_path / "a.pt", parts, {"0": numbers.numpy().tobytes()})
    assert same(read_foreign(path).tensors, {"0": numbers[:4], "1": numbers[4:]})
