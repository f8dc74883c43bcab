"""Run every benchmark with its defaults."""

import importlib.util
import subprocess
import sys

for name in ("attention", "allocator", "draws", "feed", "pieces", "samplers", "index", "peers"):
    print(f"== benchmarks.{name}", flush=True)
    if name == "peers" and importlib.util.find_spec("diffusers") is None:
        print("left out: the peer is not installed; pip install 'beeline[vae]'")
        continue
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
