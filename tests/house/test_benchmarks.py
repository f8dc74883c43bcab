"""The benchmark beside diffusers: both sides are the same net, its arithmetic is right, and it runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.peers.__main__ import main
from benchmarks.peers.measure import Asked, Bench
from benchmarks.peers.nets import VARIANTS, Net, find_net
from benchmarks.peers.ours import Ours
from benchmarks.peers.processes import peers_of
from benchmarks.peers.rows import Row, table, timed_rows, write
from benchmarks.peers.theirs import Theirs, counted
from benchmarks.peers.timing import Clock, Task, Times, interleaved

from beeline.core.errors import UserError
from beeline.model.cost import expected_flops
from beeline.train.profiling import PARTS
from tests.train.helpers import command, finish

NET = Net("small", hidden=32, depth=2, heads=2, patch=4, channels=3, batch=4, size=16, classes=5)
BLOCK_EMBEDDER = 256 * 32 + 32 + 32 * 32 + 32 + 6 * 32  # time table and labels, which diffusers keeps in every block


def test_both_sides_are_the_same_net_and_each_trains() -> None:
    ours, theirs = Ours(NET, VARIANTS["fp32"], "cpu", 1), Theirs(NET, "cpu")
    assert theirs.parameters - ours.parameters == BLOCK_EMBEDDER * (NET.depth - 1)
    blocks = NET.batch * expected_flops(NET.sizes(), NET.tokens)
    for side in (ours, theirs):
        flops = side.forward_flops()
        assert 0.7 < blocks / flops < 1  # the rest: embedders, patches and the head
        assert 2.8 < counted(side.step) / flops < 3
    before = [each.detach().clone() for each in theirs.network.parameters()]
    theirs.step()
    changed = [not torch.equal(one, two) for one, two in zip(before, theirs.network.parameters(), strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_guided_sampling_takes_the_passes_that_were_asked_for_and_the_peers_walk_goes_on() -> None:
    draw, how = Ours(NET, VARIANTS["fp32"], "cpu", 1).sampling(2, 12, "dpmpp_2m", 4.0)
    assert draw() == 12
    assert how == "dpmpp_2m, 6 steps"
    assert draw(2) == 4
    theirs = Theirs(NET, "cpu")
    assert counted(lambda: theirs.sampling(2, 250, 4.0)(3)) == 3 * 4 * theirs.forward_flops() // NET.batch


def test_the_peer_in_bf16_computes_in_it_keeps_its_weights_and_stands_beside_ours_in_bf16() -> None:
    theirs = Theirs(NET, "cpu", "bf16")
    seen = []
    layer = next(each for each in theirs.network.modules() if isinstance(each, torch.nn.Linear))
    layer.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    theirs.step()
    theirs.forward()
    assert set(seen) == {torch.bfloat16}
    assert {each.dtype for each in theirs.network.parameters()} == {torch.float32}
    assert peers_of(["fp32", "defaults"]) == {"diffusers": "fp32"}
    assert peers_of(["fp32", "bf16"]) == {"diffusers": "fp32", "diffusers in bf16": "bf16"}


def test_parts_add_up_to_the_step_of_each_side_and_each_has_its_optimiser() -> None:
    rows = Bench(NET, Asked(["fp32"], rounds=1)).parts()
    for side in ("diffusers", "fp32"):
        parts = {row.who.rpartition(": ")[0]: row for row in rows if row.who.endswith(f": {side}")}
        assert set(parts) == set(PARTS)
        for part in ("matrix products", "attention", "optimiser and clipping", "averages (EMA)"):
            assert parts[part].value > 0
        shares = [float(row.note.partition("%")[0]) for row in parts.values()]
        assert sum(shares) == pytest.approx(100, abs=1)


def test_times_are_medians_and_ratios_are_taken_round_by_round() -> None:
    times = {"peer": Times(9.0, [2.0, 8.0, 4.0]), "ours": Times(1.0, [1.0, 2.0, 4.0])}
    peer, ours = timed_rows("net", "step", "s", times, "peer")
    assert (ours.value, ours.low, ours.high, ours.first) == (2.0, 1.0, 4.0, 1.0)
    assert (ours.ratio, ours.ratio_low, ours.ratio_high) == (2.0, 1.0, 4.0)
    assert peer.ratio == 1
    assert "| ours | 1.00 | 2.00 | 1.00 to 4.00 | 2.00 | 1.00 to 4.00 |" in table([peer, ours])


def test_every_round_holds_every_call_and_begins_with_another() -> None:
    calls: list[str] = []
    tasks = {name: Task(lambda name=name: calls.append(name), scale=3.0, once=True) for name in "abc"}  # type: ignore[misc]
    found = interleaved(tasks, 2, Clock("cpu", 1))
    assert "".join(calls) == "abc" + "abc" + "bca"
    assert all(len(each.rounds) == 2 for each in found.values())


def test_nets_are_found_by_name_or_preset() -> None:
    assert find_net("S4", divide=4).batch == 8
    net = find_net("DiT-Tiny/4", batch=3, size=64)
    assert (net.hidden, net.depth, net.tokens, net.batch) == (192, 6, 256, 3)
    with pytest.raises(UserError, match="patch"):
        find_net("DiT-B")


def test_files_of_figures_are_drawn_side_by_side(tmp_path: Path) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    row = Row("S2", "training <step>", "fp32", "CPU seconds", 2.0, 1.0, 4.0, ratio=1.25)
    write(here, "Beside", {"machine": "one"}, [row])
    write(there, "Beside", {"machine": "two"}, [replace(row, value=4.0, who="bf16"), row])
    done = finish(command("compare", str(here), str(there), "--out", str(tmp_path / "page")))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "report.html").read_text()
    assert "training &lt;step&gt;" in page
    assert re.findall(r'rect class="bar fill0" width="([\d.]+)"', page) == ["80.0", "80.0", "160.0"]
    assert page.count("1.25 x") == 3
    assert "two" in page
    (tmp_path / "other.json").write_text("[]")
    for words, said in (([str(here), "-n", "7"], "all options"), ([str(tmp_path / "other.json")], "no benchmark")):
        refused = finish(command("compare", *words))
        assert refused.returncode == 2
        assert said in refused.stderr


@pytest.mark.slow
def test_it_runs_and_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--nets DiT-Nano/4 --batch 2 --rounds 1 --images 1 --passes 4 --peer_timed 1 --allocator plain"
    threads = torch.get_num_threads()
    rows = main([*words.split(), "--size", "16", "--json", str(tmp_path / "found.json")])
    torch.set_num_threads(threads)
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["rows"]) == len(rows)
    assert {row["who"] for row in found["rows"]} >= {"diffusers", "fp32", "defaults"}
    peak = next(row for row in rows if row.what.startswith("peak memory"))
    assert 100 < peak.value < 4000
    assert "training step" in capsys.readouterr().out
