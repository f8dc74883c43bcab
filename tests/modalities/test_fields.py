"""Fields from a file to a trained model and back to a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import netcdf_file

import beeline
from beeline.cli.main import run
from beeline.core.data import Example
from beeline.core.errors import InputWarning, UserError
from beeline.core.offers import Native
from beeline.data.field_augment import FieldMoves, field_moves
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription, FieldMapping
from beeline.data.field_output import as_dataset, labelled
from beeline.data.field_patches import chosen_patch
from beeline.data.normalisers import Standardise
from beeline.data.transforms import FieldTransforms
from beeline.data.whitening import Whitening
from beeline.modalities.fields import Fields
from beeline.model.codec import Codec
from beeline.train.variation import Variation
from tests.conftest import FAST

RANDOM = np.random.default_rng(0)
COUNT, GRID = 24, (8, 12)
RAIN = np.where(RANDOM.random((COUNT, *GRID)) < 0.5, 0, RANDOM.lognormal(size=(COUNT, *GRID))).astype(np.float32)
HEIGHT = (1e5 + 1e4 * RANDOM.normal(size=(COUNT, *GRID))).astype(np.float32)
LAW = np.stack([np.arange(COUNT) % 6, RANDOM.normal(size=COUNT)], axis=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rain and wind over a map of 1e5, six simulations of four samples, on a box that closes along x."""
    path = tmp_path_factory.mktemp("data") / "box.nc"
    columns: dict[str, tuple[tuple[str, ...], Any, str]] = {
        "y": (("y",), np.linspace(7, 0, 8), "Mpc"),
        "x": (("x",), np.arange(12) * 0.5, "Mpc"),
        "rain": (("sample", "y", "x"), RAIN, "mm"),
        "wind": (("sample", "y", "x"), HEIGHT / 1e4 + RAIN, "m s-1"),
        "height": (("sample", "y", "x"), HEIGHT, "m"),
        "law": (("sample", "number"), LAW, ""),
    }
    with netcdf_file(path, "w") as written:
        for name, size in (("sample", COUNT), ("y", 8), ("x", 12), ("number", 2)):
            written.createDimension(name, size)
        for name, (dims, array, units) in columns.items():
            variable = written.createVariable(name, array.dtype, dims)
            variable[...] = array
            variable.units = units
    return path


def options(file: Path, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "path": str(file),
        "target": ("rain", "wind"),
        "maps": ("height",),
        "parameters": ("law",),
        "parameter_names": ("simulation", "wetness"),
        "group": ("simulation",),
        "held_out_groups": "simulation=2",
        "transform": ("occupancy", "zscore"),
        "periodic": ("x",),
        "patch": 4,
    }
    return given | changes


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, whose data are gone afterwards."""
    own = file.with_name("gone.nc")
    own.write_bytes(file.read_bytes())
    given = {f"data.{name}": value for name, value in options(own).items()}
    out = tmp_path_factory.mktemp("run") / "run"
    beeline.train("fields", out, options={**FAST, "train.steps": 4, **given})
    own.unlink()
    return out


def test_a_run_keeps_axes_units_and_transforms_and_holds_the_group_out(trained: Path) -> None:
    record = json.loads((trained / "model.json").read_text())
    assert record["normaliser"]["arguments"]["kinds"] == ["occupancy", "zscore"]
    tokenizer = record["tokenizer"]["arguments"]
    assert tokenizer == {"patch": [4, 4], "channels": 3, "periodic": [False, True]}
    assert record["training"]["examples"] == 20
    height = record["conditions"][0]["arguments"]
    assert (height["units"], height["dims"], height["directions"]) == (["m"], ["y", "x"], [-1, 1])
    said = json.loads(record["modality"]["options"]["description"])
    assert [axis["length"] for axis in said["axes"]] == [8, 6]


def test_a_run_keeps_a_card_of_its_data_which_inspect_and_the_report_show(trained: Path) -> None:
    card = json.loads((trained / "model.json").read_text())["card"]
    kept = np.arange(COUNT) % 6 != 2
    rain = card["channels"]["rain"]
    seen = RAIN[kept].astype(np.float64)
    third = ((seen - seen.mean()) ** 3).mean() / seen.std() ** 3
    told = {"least": 0.0, "mean": seen.mean(), "largest": seen.max(), "deviation": seen.std(), "skewness": third}
    assert {name: rain[name] for name in told} == pytest.approx(told)
    assert rain["zeros"] == pytest.approx((seen == 0).mean())
    assert (rain["units"], rain["missing"], rain["transform"]) == ("mm", 0.0, "occupancy")
    assert card["maps"]["height"]["mean"] == pytest.approx(HEIGHT[kept].mean(dtype=np.float64))
    assert card["samples"] == {"training": 20, "held out": 4, "read for this card": 20}
    assert (card["groups"]["held out"], card["groups"]["held out are"]) == (1, "simulation=2")
    assert card["axes"] == {
        "y": "8 cells from 7 to 0 Mpc, descending by 1, length 8 Mpc",
        "x": "12 cells from 0 to 5.5 Mpc, a step by 0.5, periodic, length 6 Mpc",
    }
    assert card["parameters"]["simulation"] == {"least": 0.0, "largest": 5.0, "distinct": 5, "missing": 0}
    assert [note.partition(":")[0] for note in card["notes"]] == ["wind"], "an occupancy has seen to the tail of rain"
    assert (len(card["sha256"]), card["file"]) == (64, "gone.nc")
    shown = beeline.inspect(trained)
    assert shown["data"] == card
    assert "description" not in shown["data options"]
    page = (trained / "report.html").read_text()
    assert 'id="data"' in page
    assert "simulation=2" in page


def test_a_long_tail_under_a_z_score_is_told(file: Path) -> None:
    notes = Fields(**options(file, transform=("zscore",))).card()["notes"]
    assert len(notes) == 2
    assert notes[0].startswith("rain: is never below 0 and has a long tail (skewness ")
    assert "of it is 0: --data.transform occupancy, or asinh, may do better" in notes[0]


def test_samples_come_back_as_netcdf_with_coordinates_units_inputs_and_provenance(
    trained: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "height.npy", HEIGHT[0][..., None])
    asked = ["--condition", f"height={tmp_path / 'height.npy'}", "--condition", "params=2,0.5", "--steps", "2"]
    assert run(["sample", str(trained), "-n", "3", *asked, "--out", str(tmp_path / "x.nc")]) == 0
    with netcdf_file(tmp_path / "x.nc", mmap=False) as written:
        assert dict(written.dimensions) == {"realisation": 3, "y": 8, "x": 12}
        assert written.variables["rain"].units == b"mm"
        assert written.variables["rain"].dimensions == ("realisation", "y", "x")
        assert (written.variables["rain"][:] >= 0).all()
        assert written.variables["y"][:].tolist() == np.linspace(7, 0, 8).tolist()
        np.testing.assert_allclose(written.variables["height"][:], HEIGHT[0])
        assert written.variables["wetness"][...] == 0.5
        assert (written.sampler, written.steps, written.seed) == (b"heun", 2, 0)
        assert len(written.sha256) == 64
    assert run(["sample", str(trained), "-n", "2", *asked, "--out", str(tmp_path / "all")]) == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        f"samples.{e}" for e in ("nc", "npz", "png", "json")
    }


def test_samples_differ_in_what_was_asked_along_their_own_axis(trained: Path, tmp_path: Path) -> None:
    engine = beeline.load(trained)
    asked = {"height": [HEIGHT[0][..., None], HEIGHT[1][..., None]], "params": [[0, 1], [1, 2]]}
    samples = engine.generate(engine.requests(2, asked), 0, engine.settings(steps=1))
    assert isinstance(engine.modality, Native)
    ((ending, data),) = engine.modality.files(samples.examples, samples.provenance).items()
    (tmp_path / "two").with_suffix(ending).write_bytes(data)
    with netcdf_file(tmp_path / "two.nc", mmap=False) as written:
        assert written.variables["simulation"][:].tolist() == [0, 1]
        np.testing.assert_allclose(written.variables["height"][1], HEIGHT[1])
        assert written.variables["height"].dimensions == ("sample", "y", "x")


def test_labelled_maps_are_held_to_the_units_axes_and_directions_of_training(trained: Path, tmp_path: Path) -> None:
    """As those of files are: turned, transposed, of a channel or of none, in other units, of other cells."""
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (pip install 'beeline[fields]')")
    places = {"y": np.linspace(7, 0, 8), "x": np.arange(12) * 0.5}
    height = xarray.DataArray(HEIGHT[0], places, ("y", "x"), "height", {"units": "m"})
    engine = beeline.load(trained)

    def drawn(*maps: Any) -> Any:
        return np.asarray(engine.sample(len(maps), {"height": list(maps), "params": [0, 1]}, steps=1))

    plain = drawn(HEIGHT[0][..., None])
    for same in (height, height.T, height.expand_dims(channel=1), height.expand_dims("channel", -1)):
        np.testing.assert_array_equal(drawn(same), plain)
    height.to_netcdf(tmp_path / "one.nc")
    np.testing.assert_array_equal(drawn(tmp_path / "one.nc"), plain)
    moved = height.assign_coords(y=places["y"] + 100)
    said = beeline.ensemble(str(trained), 2, {"height": moved, "params": [0, 1]}, steps=1)
    np.testing.assert_array_equal(said["y"], places["y"] + 100)
    for wrong, message in (
        (height.isel(y=slice(None, None, -1)), "y ascends here and descended in training"),
        (height.assign_attrs(units="km"), "height is in 'km' here and was in 'm' in training"),
        (height.rename(y="north"), r"height lies on \(north, x\) here and lay on \(y, x\) in training"),
    ):
        with pytest.raises(UserError, match=message):
            drawn(wrong)
    with pytest.warns(InputWarning, match=r"height: cells are 0.05 apart along x and were 0.5 in training"):
        drawn(height.assign_coords(x=places["x"] / 10))


def test_samples_of_another_shape_have_no_coordinates_of_training(trained: Path) -> None:
    engine = beeline.load(trained)
    large = np.tile(HEIGHT[0][..., None], (2, 2, 1))
    samples = engine.generate(engine.requests(1, {"height": large, "params": [0, 1]}), 0, engine.settings(steps=1))
    whole = labelled(samples.examples, engine.modality._known, {})  # type: ignore[attr-defined]
    assert whole.sizes == {"sample": 1, "y": 16, "x": 24}
    assert set(whole.coordinates) == {"sample"}


def test_what_no_file_holds_is_refused_before_it_is_drawn(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "height.npy", HEIGHT[0][..., None])
    asked = ["--condition", f"height={tmp_path / 'height.npy'}", "--condition", "params=2,0.5", "--steps", "1"]
    monkeypatch.setattr("beeline.data.field_output._LARGEST", 3 * 8 * 12 * 4)
    monkeypatch.setitem(sys.modules, "h5netcdf", None)

    def drawn(self: Any, *given: Any, **more: Any) -> Any:
        raise AssertionError("drawn before it was refused")

    with monkeypatch.context() as patch:
        patch.setattr("beeline.generate.engine.Engine.generate", drawn)
        assert run(["sample", str(trained), "-n", "4", *asked, "--out", str(tmp_path / "x.nc")]) == 2
    assert "rain: 1.43e-06 GiB are more than the 2 that a variable of classic netCDF holds" in capsys.readouterr().err
    assert run(["sample", str(trained), "-n", "3", *asked, "--out", str(tmp_path / "x.nc")]) == 0
    assert run(["sample", str(trained), "-n", "4", *asked, "--out", str(tmp_path / "all")]) == 0
    assert "they are written as .npz alone" in capsys.readouterr().err
    assert not (tmp_path / "all" / "samples.nc").exists()
    two = [*asked, "--condition", f"height={tmp_path / 'height.npy'}", "--condition", "params=1,0.5"]
    assert run(["sample", str(trained), "-n", "2", *two, "--out", str(tmp_path / "y.nc")]) == 2
    assert "height: 1.43e-06 GiB" in capsys.readouterr().err, "maps of samples that differ are written in float64"


def test_a_variable_too_large_for_classic_netcdf_is_written_as_netcdf_4(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (pip install 'beeline[fields]')")
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed (pip install 'beeline[fields]')")
    np.save(tmp_path / "height.npy", HEIGHT[0][..., None])
    asked = ["--condition", f"height={tmp_path / 'height.npy'}", "--condition", "params=2,0.5", "--steps", "1"]
    assert run(["sample", str(trained), "-n", "4", *asked, "--out", str(tmp_path / "small.nc")]) == 0
    monkeypatch.setattr("beeline.data.field_output._LARGEST", 1000)
    assert run(["sample", str(trained), "-n", "4", *asked, "--out", str(tmp_path / "large.nc")]) == 0
    assert (tmp_path / "large.nc").read_bytes()[:4] == b"\x89HDF"
    with xarray.open_dataset(tmp_path / "small.nc") as small, xarray.open_dataset(tmp_path / "large.nc") as large:
        xarray.testing.assert_identical(small.drop_attrs(deep=False), large.drop_attrs(deep=False))
        assert large.attrs["sha256"] == small.attrs["sha256"]


def test_a_dataset_of_xarray_is_made_of_the_same(trained: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (pip install 'beeline[fields]')")
    known = Fields(**json.loads((trained / "model.json").read_text())["modality"]["options"])._known
    samples = [Example(np.zeros((8, 12, 2)), {"height": HEIGHT[0][..., None], "params": [0, 1]}) for _ in range(2)]
    dataset = as_dataset(labelled(samples, known, {"seed": 1}))
    assert isinstance(dataset, xarray.Dataset)
    assert dataset["rain"].attrs["units"] == "mm"
    assert dataset["rain"].dims == ("realisation", "y", "x")
    assert dataset.attrs["seed"] == 1


@pytest.mark.parametrize("changes", [{}, {"whiten": 0.5}, {"whiten": 0.5, "periodic": ()}])
def test_a_batch_of_the_modality_is_the_same_twice_and_comes_back(file: Path, changes: dict[str, Any]) -> None:
    modality, _ = Fields(**options(file, **changes)).settle(64)
    training = modality.dataset("train")
    codec = Codec.fit(modality, training)
    for index in range(len(training)):
        example = training[index]
        (back,) = codec.decode(codec.encode(example).tokens)
        assert back.shape == example.array.shape
        np.testing.assert_allclose(back, example.array, rtol=1e-4, atol=1e-4)
        assert torch.equal(codec.encode(example).tokens.values, codec.encode(training[index]).tokens.values)
    assert {each.group for each in training}.isdisjoint({each.group for each in modality.dataset("held_out")})


def test_z_scores_alone_are_an_affine_normaliser(file: Path) -> None:
    assert isinstance(Fields(**options(file, transform=("zscore",))).normaliser(), Standardise)
    assert isinstance(Fields(**options(file, transform=("asinh",))).normaliser(), FieldTransforms)
    whitening = Fields(**options(file, whiten=0.5)).normaliser()
    assert isinstance(whitening, Whitening)
    assert whitening.periodic == (False, True)


def test_rolls_move_the_map_with_the_field_along_periodic_axes_alone(file: Path) -> None:
    modality = Fields(**options(file, augment=("roll",)))
    moves = modality.augmentation()
    assert moves is not None
    assert moves.ways == 12
    example = modality.dataset("train")[0]
    moved = Variation(moves, Codec.fit(modality, modality.dataset("train"))).example(example, 5)
    shift = next(by for by in range(12) if np.array_equal(moved.array, np.roll(example.array, by, axis=1)))
    assert shift == 5
    np.testing.assert_array_equal(moved.condition["height"], np.roll(example.condition["height"], shift, axis=1))


def test_flips_and_turns_are_the_eight_symmetries_of_a_square() -> None:
    array = np.arange(9.0).reshape(3, 3, 1)
    moves = FieldMoves((3, 3), flipped=(True, True), rotated=True)
    found = {moves.rearrange(array, way).tobytes() for way in range(moves.ways)}
    assert moves.ways == len(found) == 8
    assert np.array_equal(moves.rearrange(array, 0), array)
    solid = FieldMoves((2, 3, 4), rolled=(True, False, True), flipped=(True,) * 3)
    assert solid.ways == 2 * 4 * 8
    numbers = np.arange(24.0).reshape(2, 3, 4, 1)
    different = {solid.rearrange(numbers, way).tobytes() for way in range(solid.ways)}
    assert len(different) == 32  # of two cells, a flip is a roll
    assert all(sorted(solid.rearrange(numbers, way).ravel()) == list(range(24)) for way in range(solid.ways))


X, Y = FieldAxis("x", 8), FieldAxis("y", 8)


def described(axes: tuple[FieldAxis, ...], channels: str = "a", maps: str = "") -> FieldDescription:
    """Fields of some channels over maps of one channel, a letter each."""
    mappings = tuple(FieldMapping(name, (FieldChannel(name),)) for name in maps)
    return FieldDescription(axes, tuple(FieldChannel(name) for name in channels), mappings)


@pytest.mark.parametrize(
    ("wanted", "known", "message"),
    [
        ("roll", described((X, Y)), r"augment roll: no axis is periodic; say which are, --data\.periodic"),
        ("flip", described((X, Y), "uv"), r"augment flip: u, v may be components of a vector, .*--data\.scalars true"),
        ("rotate", described((X, Y), "p", "uv"), r"augment rotate: p, u, v may be components of a vector"),
        ("flip", described((X, Y), "u", "v"), r"augment flip: u, v may be components of a vector"),
        ("flip", described((FieldAxis("time", 8),)), "augment flip: time has a direction"),
        ("rotate", described((X, FieldAxis("y", 12))), r"augment rotate: needs two axes of one extent, not 8x12"),
        ("rotate", described((X, FieldAxis("y", 8, "km"))), "augment rotate: x and y differ in units; leave it out"),
        ("rotate", described((X, FieldAxis("y", 8, length=9.0))), "x and y differ in spacing"),
        ("rotate", described((X, FieldAxis("y", 8, periodic=True))), "x and y differ in periodicity"),
        ("rotate", described((X, FieldAxis("time", 8))), "x and time differ in kind, one being a time"),
        ("spin", described((X, Y)), r"augment spin: know roll, flip, rotate"),
    ],
)
def test_moves_that_the_law_may_not_allow_are_refused(wanted: str, known: FieldDescription, message: str) -> None:
    with pytest.raises(UserError, match=message):
        field_moves((wanted,), known, scalars=False)


def test_moves_that_the_law_allows_leave_time_as_it_is() -> None:
    moves = field_moves(("flip",), described((FieldAxis("t", 8), X), "uv", "z"), scalars=True)
    assert moves is not None
    assert moves.flipped == (False, True)
    turned = FieldMoves((8, 8), (), (False,) * 2, True)
    assert field_moves(("rotate",), described((X, Y), "p", "z"), scalars=True) == turned
    assert field_moves(("rotate",), described((X, Y), "p"), scalars=False) == turned


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": 0.3}, "held_out and held_out_groups both say what to hold out"),
        ({"path": ""}, r"path: missing; say where the fields are, --data\.path FILE\.nc"),
        ({"missing": "mask"}, "transform occupancy: makes two channels of one, which missing mask cannot follow"),
        (
            {"missing": "mask", "transform": ("zscore",), "whiten": 0.5},
            "whiten: needs whole fields, and missing mask has",
        ),
        ({"group": (), "held_out_groups": None, "blocks": ("sample",)}, "blocks sample: are parts of a group"),
        ({"maps": ("height", "wind")}, "maps height,wind: wind is what is to be generated"),
        ({"overdensity": ("rian",)}, r"unknown channel of overdensity 'rian'; did you mean 'rain'"),
        ({"whiten": 1.5}, "whiten 1.5: must lie between 0 and 1"),
        ({"target": ()}, r"target: missing; name what is to be generated, --data\.target u,v"),
        ({"patch": (2, 2, 2)}, r"patch 2x2x2: the fields lie on \(y, x\)"),
        ({"transform": ("log", "zscore")}, r"rain: transform log takes numbers above 0, \d+ of 96 are not"),
        ({"transform": ("log",) * 3}, "transform log,log,log: one for each of rain, wind"),
    ],
)
def test_options_that_do_not_fit_are_refused(file: Path, changes: dict[str, Any], message: str) -> None:
    def begin() -> None:
        modality = Fields(**options(file, **changes))
        modality.settle(64)
        Codec.fit(modality, modality.dataset("train"))

    with pytest.raises(UserError, match=message):
        begin()


def test_patches_are_small_and_divide_periodic_axes() -> None:
    assert chosen_patch((16, 16), (), 256) == (1, 1)
    assert chosen_patch((64, 64), (), 256) == (4, 4)
    assert chosen_patch((33, 49), (), 256) == (3, 3)
    assert chosen_patch((33, 49), (True, False), 256) == (3, 3)
    assert chosen_patch((64, 49), (False, True), 256) == (7, 7)
    assert chosen_patch((64, 13), (False, True), 256) == (4, 1)
    assert chosen_patch((1000,), (), 64) == (16,)
    assert chosen_patch((17, 31), (True, True), 16) == (17, 31)


def test_the_picture_shows_input_and_field_in_a_row(file: Path) -> None:
    modality = Fields(**options(file))
    samples = [modality.dataset("train")[index] for index in range(4)]
    wide, tall = modality.preview(samples).size
    assert wide > tall / 2
    line = [Example(sample.array[0], {"height": sample.condition["height"][0]}) for sample in samples]
    solid = [Example(np.stack([sample.array] * 3)) for sample in samples]
    assert modality.preview(line).size[0] > 0
    assert modality.preview(solid).size[0] > 0


def test_darcy_and_the_tiles_settle(real_data: Callable[[str], Path]) -> None:
    darcy = Fields(str(real_data("darcy") / "darcy_train_16.npz"), ("y",), ("x",))
    settled, reasons = darcy.settle(64)
    assert settled.patch == (2, 2)
    assert any("x holds uint8 numbers, taken as float32" in reason for reason in reasons)
    assert set(np.unique(settled.dataset("train")[0].condition["x"])) == {0.0, 1.0}


def test_the_mean_map_and_the_deviation_are_those_of_the_observed_cells(file: Path) -> None:
    own = {metric.name: metric.function for metric in Fields(**options(file)).metrics()}
    arrays = RANDOM.normal(size=(30, 8, 12, 2)) * np.array([2.0, 1.0])
    truth = [Example(each) for each in arrays]
    where = np.linspace(0, 1, 12)[None, :, None]
    moved = [Example(each) for each in (arrays + 4.0 * where)[::-1]]
    wanted = 4.0 * np.sqrt(np.mean(where**2)) / arrays[..., 0].std()
    assert own["rain mean map error"](truth, truth, moved) == pytest.approx(wanted)
    assert own["rain mean map error"](truth, truth, truth[::-1]) == pytest.approx(0, abs=1e-12)
    assert own["wind deviation ratio"](truth, truth, [Example(3 * each) for each in arrays]) == pytest.approx(3)
    seen = np.broadcast_to(where < 0.5, arrays[0].shape)
    hidden = [Example(np.where(seen, each, 1e9), observed=seen) for each in arrays]
    half = [Example(each[:, :6]) for each in arrays]
    for name, function in own.items():
        assert function(hidden, hidden, hidden[::2]) == pytest.approx(function(half, half, half[::2])), name
