"""What is found under a path: folders, manifests, idx files and arrays."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.data.image_arrays import read_parts
from beeline.data.image_index import cache_folder
from beeline.data.image_reading import Reading
from beeline.data.image_sets import Found, ImageSet
from beeline.data.image_sources import class_counts, find_images
from beeline.data.splits import split_by_group
from tests.data.images import folder_of, pixels, save


def find(path: Path, labels: str = "folders", leave_out: bool = False) -> Found:
    return find_images(path, labels, "leave_out" if leave_out else "refuse")


def names(found: Found) -> list[str]:
    return [found.pictures.name(index).removeprefix(found.where + "/") for index in range(len(found.pictures))]


def test_sub_folders_are_classes_however_deep_their_images_lie(tmp_path: Path) -> None:
    folder_of(tmp_path, {"zebra": 2, "ant/tall/er": 1, "ant": 1, "öchslein x": 1})
    found = find(tmp_path)
    assert found.names == ("ant", "zebra", "öchslein x")
    assert found.labels is not None
    told = dict(zip(names(found), found.labels.tolist(), strict=True))
    assert told["ant/tall/er/0000.png"] == told["ant/0000.png"] == 0
    assert told["zebra/0001.png"] == 1
    assert class_counts(found) == "5 images in 3 classes of 1 to 2; the smallest: öchslein x 1, ant 2, zebra 2"


def test_classes_called_by_number_stand_in_the_order_of_numbers(tmp_path: Path) -> None:
    folder_of(tmp_path, {str(number): 1 for number in (10, 9, 0, 2)})
    assert find(tmp_path).names == ("0", "2", "9", "10")


def test_a_flat_folder_has_no_classes_and_wrapping_folders_are_entered(tmp_path: Path) -> None:
    folder_of(tmp_path / "outer" / "inner", {"": 3})
    (tmp_path / "outer" / "README.md").write_text("about")
    found = find(tmp_path)
    assert found.labels is None
    assert found.where == str(tmp_path / "outer" / "inner")
    folder_of(tmp_path / "loop", {})
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "again").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="holds no image"):
        find(tmp_path / "loop")


def test_images_beside_class_folders_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 2, "dog": 2, "": 1})
    with pytest.raises(UserError) as told:
        find(tmp_path)
    assert "1 of 5 files cannot be used: '0000.png' lies outside the class folders" in str(told.value)
    assert "--data.bad_files leave_out" in str(told.value)
    assert "--data.labels none" in str(told.value)
    assert len(find(tmp_path, "none").pictures) == 5
    left = find(tmp_path, leave_out=True)
    assert len(left.pictures) == 4
    assert any(note.startswith("left out: 1 of 5 files") for note in left.notes)


def test_given_splits_are_kept(tmp_path: Path) -> None:
    folder_of(tmp_path, {"train/cat": 3, "train/dog": 2, "test/cat": 1, "val/dog": 1})
    found = find(tmp_path)
    assert found.names == ("cat", "dog")
    training, held_out = found.split(0.0)
    assert {names(found)[index].split("/")[0] for index in training} == {"train"}
    assert {names(found)[index].split("/")[0] for index in held_out} == {"test", "val"}
    folder_of(tmp_path, {"extra/cat": 1, "test/eel": 1})
    with pytest.raises(UserError, match="2 of 9 files") as told:
        find(tmp_path)
    assert "'extra/cat/0000.png' lies outside test, train, val" in str(told.value)
    assert "'test/eel/0000.png' its class 'eel' has no training image" in str(told.value)
    flat = folder_of(tmp_path / "flat", {"train": 3, "held_out": 1})
    assert find(flat).labels is None
    assert [len(side) for side in find(flat).split(0.0)] == [3, 1]


def test_every_file_that_cannot_be_used_is_named_in_one_line_and_listed(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "cat" / "text.png").write_text("hello")
    (tmp_path / "cat" / "leer ü.png").write_bytes(b"")
    cut = (tmp_path / "dog" / "0000.png").read_bytes()
    for number in range(3):
        (tmp_path / "dog" / f"cut{number}.png").write_bytes(cut[:-30])
    with pytest.raises(UserError) as told:
        find(tmp_path)
    line = str(told.value)
    assert "\n" not in line
    assert "5 of 11 files cannot be used" in line
    assert "'cat/leer ü.png' is empty, 'cat/text.png' is no image" in line
    listed = cache_folder(tmp_path) / "problems.txt"
    assert str(listed) in line
    assert len(listed.read_text().splitlines()) == 5
    assert "dog/cut2.png: is damaged" in listed.read_text()
    assert len(find(tmp_path, leave_out=True).pictures) == 6


def test_nothing_but_rubbish_is_an_error_even_when_it_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(UserError, match="1 of 1 files cannot be used"):
        find(tmp_path, leave_out=True)
    (tmp_path / "a.png").rename(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"holds no image \(passed over: 1 \.txt\)"):
        find(tmp_path)
    with pytest.raises(UserError, match=r"no such folder or file; say where the images are, --data\.path FOLDER"):
        find(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is neither a folder nor an \.npz, \.npy or idx file"):
        find(tmp_path / "a.txt")


CSV = "file,label,group,colour\na.png,cat,x,1\nb/b c.png,dog,y,2\nd.png,cat,,3\n"


def test_manifests_tell_label_and_group(tmp_path: Path) -> None:
    for name in ("a.png", "b/b c.png", "d.png"):
        save(tmp_path / name)
    jsonl = "".join(
        json.dumps({"file": file, "label": label, "group": group}) + "\n\n"
        for file, label, group in (
            ("./a.png", "cat", "x"), ("b\\b c.png", "dog", "y"), (str(tmp_path / "d.png"), "cat", None),
        )
    )  # fmt: skip
    cases = {"m.csv": CSV, "s.csv": CSV.replace(",", ";"), "b.csv": "\ufeff" + CSV, "m.jsonl": jsonl}
    for name, text in cases.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for given in (name, str(tmp_path / name)):
            found = find(tmp_path, given)
            assert names(found) == ["a.png", "b/b c.png", "d.png"]
            assert found.names == ("cat", "dog")
            assert found.labels is not None
            assert found.labels.tolist() == [0, 1, 0]
            assert found.groups == ("x", "y", None)
    (tmp_path / "n.csv").write_text("file\n" + "\n".join(names(found)))
    assert find(tmp_path, "n.csv").labels is None


def test_accents_are_met_however_they_are_written(tmp_path: Path) -> None:
    save(tmp_path / "u\u0308.png")
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("file,label\n\u00fc.png,1\na.png,2\n", encoding="utf-8")
    assert find(tmp_path, "m.csv").names == ("1", "2")


def test_what_a_manifest_lacks_or_promises_in_vain_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 4})
    (tmp_path / "bad.png").write_text("")
    rows = ["file,label", "0000.png,a", "0001.png,", "0000.png,b", "gone.png,a", "0003.png,b", "bad.png,a"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    with pytest.raises(UserError) as told:
        find(tmp_path, "m.csv")
    listed = (cache_folder(tmp_path) / "problems.txt").read_text().splitlines()
    assert listed == [
        "0000.png: is in line 2 of the manifest and in line 4 again",
        "0001.png: has no label in line 3 of the manifest",
        "0002.png: is not in the manifest",
        "bad.png: is empty",
        "gone.png: is in line 5 of the manifest, and there is no such image",
    ]
    assert "5 of 6 files cannot be used" in str(told.value)


def test_manifests_that_are_none_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 2})
    cases = {
        "no.csv": ("name,label\n0000.png,1\n", "needs a column 'file'"),
        "wide.csv": ("file,label\n0000.png,1,2\n", "line 2: has more cells than the header"),
        "bad.jsonl": ('{"file": "0000.png"}\n{"file"\n', "line 2: not JSON"),
        "list.jsonl": ("[1]\n", "line 1: needs an object"),
        "float.jsonl": ('{"file": "0000.png", "label": 1.5}\n', "line 1: label 1.5: needs text or a whole number"),
        "empty.csv": ("file,label\n,1\n", "line 2: names no file"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message):
            find(tmp_path, name)
    with pytest.raises(UserError, match=r"unknown labels 'folder'; did you mean 'folders'\?, or the path of a \.csv"):
        find(tmp_path, "folder")
    with pytest.raises(UserError, match=r"labels gone\.csv: no such file"):
        find(tmp_path, "gone.csv")


def idx(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("images", "labels", "test"),
    [
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte.gz", None),
    ],
)
def test_idx_files_are_found_by_their_names(tmp_path: Path, images: str, labels: str, test: str | None) -> None:
    data = pixels(12, 5 * 4, 1)[..., 0].reshape(12, 5, 4)

    def write(name: str, array: np.ndarray[Any, Any]) -> None:
        (tmp_path / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))

    write(images, data)
    write(labels, np.arange(12, dtype=np.uint8) % 3)
    if test is not None:
        write(test, data[:4])
        write(test.replace("images", "labels").replace("idx3", "idx1"), np.arange(4, dtype=np.uint8) % 3)
    found = find(tmp_path)
    assert len(found.pictures) == (16 if test else 12)
    assert (found.classes, found.names) == (3, ())
    assert np.array_equal(found.pictures.read(7 + (4 if test else 0), Reading(5, 4, 1))[..., 0], data[7])
    sizes = [len(side) for side in found.split(0.25)]
    assert sizes == ([12, 4] if test else [9, 3])
    assert found.pictures.name(2) == f"{images if test is None else test}[2]"
    if test is None:
        assert len(find(tmp_path / images).pictures) == 12


def test_idx_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    array = np.zeros((3, 2, 2), dtype=np.uint8)
    cases = {
        b"hello": "is no idx file", b"": "is no idx file", idx(array)[:-1]: "its header promises",
        idx(array)[:9]: "is cut short", idx(array.astype("i1"), 9): "int8 numbers are no pixels",
        idx(array[0]): "is not \\(images, rows, columns",
    }  # fmt: skip
    for data, message in cases.items():
        path.write_bytes(data)
        with pytest.raises(UserError, match=message):
            find(tmp_path)
    path.unlink()
    (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(idx(array))[:-12])
    with pytest.raises(UserError, match="not readable"):
        find(tmp_path)


def test_arrays_of_many_kinds_are_images(tmp_path: Path) -> None:
    colour = pixels(40, 6, 3).reshape(10, 4, 6, 3)
    labels = np.arange(10) % 2
    np.savez(tmp_path / "a.npz", images=colour, labels=labels)
    np.savez_compressed(
        tmp_path / "keras.npz", x_train=colour, y_train=labels[:, None], x_test=colour[:4], y_test=labels[:4]
    )
    np.savez(tmp_path / "words.npz", x=colour, y=np.array(["cat", "ape"])[labels], groups=np.arange(10) // 2)
    np.savez(tmp_path / "gaps.npz", data=colour, targets=np.array([3, 7])[labels])
    np.save(tmp_path / "first.npy", np.moveaxis(colour, -1, 1))
    np.save(tmp_path / "first_labels.npy", labels)
    for name, classes in (
        ("a.npz", ()), ("keras.npz", ()), ("words.npz", ("ape", "cat")), ("gaps.npz", ("3", "7")), ("first.npy", ()),
    ):  # fmt: skip
        found = find(tmp_path / name)
        assert (found.classes, found.names) == (2, classes), name
        assert np.array_equal(found.pictures.read(3, Reading(4, 6, 3)), colour[3]), name
        assert found.labels is not None
        assert found.labels[:2].tolist() == ([1, 0] if name == "words.npz" else [0, 1])
    assert [len(side) for side in find(tmp_path / "keras.npz").split(0.5)] == [10, 4]
    training, held_out = find(tmp_path / "words.npz").split(0.4)
    assert not {index // 2 for index in training.tolist()} & {index // 2 for index in held_out.tolist()}
    assert find(tmp_path / "a.npz", "none").labels is None
    with pytest.raises(UserError, match=r"holds several arrays \(a.npz, gaps.npz, .*\); name one of them"):
        find(tmp_path)
    only = tmp_path / "only"
    only.mkdir()
    (tmp_path / "first.npy").rename(only / "images.npy")
    (tmp_path / "first_labels.npy").rename(only / "labels.npy")
    assert find(only).classes == 2


def test_arrays_that_are_no_images_are_refused(tmp_path: Path) -> None:
    images = np.zeros((4, 2, 2), dtype=np.uint8)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"weights": images}, "holds weights, and none is called 'images'"),
        ({"images": images.astype(np.int64)}, "int64 numbers are no pixels"),
        ({"images": images[0, 0]}, "is not \\(images, rows, columns"),
        ({"images": np.zeros((4, 2, 2, 5), dtype=np.uint8)}, "is not \\(images, rows, columns"),
        ({"images": images, "labels": np.zeros(3, dtype=int)}, "need a whole number or a word for each of 4 images"),
        ({"images": images, "labels": np.zeros(4)}, "need a whole number or a word"),
        ({"x_train": images, "y_train": np.arange(4), "x_test": images}, "has no labels and the other images have"),
        (
            {"x_train": images, "y_train": np.arange(4) % 2, "x_test": images, "y_test": np.arange(4)},
            "label 2: is among the held-out images and not among",
        ),
    ]
    for arrays, message in cases:
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(UserError, match=message):
            find(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match=r"not a readable \.npz file"):
        find(tmp_path / "a.npz")
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a readable \.npy file"):
        find(tmp_path / "o.npy")
    np.savez(tmp_path / "b.npz", images=images, labels=np.arange(4))
    with pytest.raises(UserError, match="arrays bring their labels along"):
        find(tmp_path / "b.npz", "m.csv")
    with pytest.raises(UserError, match="no file can be left out"):
        find(tmp_path / "b.npz", leave_out=True)


def test_large_arrays_are_mapped_and_survive_the_way_to_another_process(tmp_path: Path, monkeypatch: Any) -> None:
    from beeline.data import idx as idx_module
    from beeline.data import image_arrays

    monkeypatch.setattr(image_arrays, "_LARGE", 64)
    images = pixels(40, 6, 1).reshape(10, 4, 6)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "b.npz", images=images, labels=np.arange(10) % 2)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    monkeypatch.setattr(idx_module, "_LARGE", 64)
    for name in ("a.npy", "b.npz", "train-images-idx3-ubyte"):
        (part,) = read_parts([tmp_path / name])
        assert isinstance(part.images, np.memmap), name
        found = find(tmp_path / name)
        dataset = ImageSet(found, np.arange(10)[::-1], Reading(4, 6, 1), "label")
        sent = pickle.dumps(dataset)
        assert images[7].tobytes() not in sent, "the pixels stay where they are"
        again = pickle.loads(sent)
        assert np.array_equal(again[2].array[..., 0], images[7])
        assert again.condition(2) == dataset.condition(2)


def test_a_dataset_tells_without_reading(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 2, "dog": 2})
    found = find(tmp_path)
    dataset = ImageSet(found, np.array([3, 0]), Reading(8, 8, 3), "label")
    for path in tmp_path.rglob("*.png"):
        path.write_text("gone bad")
    assert dataset.condition(0) == {"label": 1}
    assert dataset.group(0) is None
    assert dataset.name(0) == str(tmp_path / "dog" / "0001.png")
    with pytest.raises(UserError, match=r"dog/0001\.png: is no image"):
        dataset[0]
    with pytest.raises(IndexError):
        dataset[2]


def test_names_in_a_dataset_are_one_run_of_bytes(tmp_path: Path) -> None:
    """Objects of their own, one a file, would be copied into every worker by their reference counts."""
    folder_of(tmp_path, {"": 30})
    pictures = find(tmp_path).pictures
    assert not any(isinstance(value, (list, tuple, dict)) for value in vars(pictures).values())


def classes_of(found: Found, indices: np.ndarray[Any, Any]) -> Counter[int]:
    assert found.labels is not None
    return Counter(found.labels[indices].tolist())


def test_every_class_is_split_in_its_share_and_keeps_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3005, 1, 1), np.uint8), labels=np.repeat([0, 1], [3000, 5]))
    found = find(tmp_path / "a.npz")
    training, held_out = found.split(0.2)
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(3005))
    assert classes_of(found, held_out) == {0: 600, 1: 1}
    for share in (0.01, 0.5, 0.9, 0.999):
        training, held_out = found.split(share)
        assert classes_of(found, training)[1] >= 1
        assert len(held_out)


def test_twelve_images_are_enough(tmp_path: Path) -> None:
    assert [len(side) for side in find(folder_of(tmp_path, {"": 12})).split(0.2)] == [9, 3]
    one_each = folder_of(tmp_path / "classes", {f"c{number}": 1 for number in range(12)})
    assert [len(side) for side in find(one_each).split(0.2)] == [9, 3]


def test_the_split_stays_nearly_the_same_when_files_are_added(tmp_path: Path) -> None:
    groups = [f"{number}.png" for number in range(500)]
    classes = [number % 7 for number in range(500)]
    before = {groups[index] for index in split_by_group(groups, 0.2, classes=classes)[1]}
    more = [*groups, *(f"new {number}.png" for number in range(20))]
    after = {more[index] for index in split_by_group(more, 0.2, classes=[*classes, *([3] * 20)])[1]}
    assert len(before - after) <= 3


def test_groups_across_classes_are_kept_whole_and_no_class_is_emptied() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        groups = random.integers(0, 12, 40).tolist()
        classes = random.integers(0, 6, 40).tolist()
        training, held_out = split_by_group(groups, 0.6, classes=classes)
        assert not {groups[index] for index in training} & {groups[index] for index in held_out}
        assert {classes[index] for index in training} == set(classes)


def test_a_group_in_both_given_splits_reaches_the_dataset(tmp_path: Path) -> None:
    folder_of(tmp_path, {"train": 2, "test": 1})
    rows = ["file,label,group", "train/0000.png,a,x", "train/0001.png,b,y", "test/0000.png,a,x"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    found = find(tmp_path, "m.csv")
    sets = [ImageSet(found, side, Reading(8, 8, 3), "label") for side in found.split(0.0)]
    assert [[each.group(index) for index in range(len(each))] for each in sets] == [["x", "y"], ["x"]]


def test_real_fashion_mnist(real_data: Any) -> None:
    found = find(real_data("fashion_mnist"))
    assert [len(side) for side in found.split(0.0)] == [18000, 3000]
    assert found.labels is not None
    assert Counter(found.labels.tolist()) == dict.fromkeys(range(10), 2100)
    assert found.pictures.read(5, Reading(28, 28, 1)).shape == (28, 28, 1)


def test_real_cifar10(real_data: Any) -> None:
    folder = real_data("cifar10")
    found = find(folder)
    assert found.names[:3] == ("airplane", "automobile", "bird")
    assert class_counts(found) == "5,000 images in 10 classes of 500"
    training, held_out = found.split(0.2)
    assert classes_of(found, held_out) == dict.fromkeys(range(10), 100)
    assert classes_of(found, training) == dict.fromkeys(range(10), 400)
