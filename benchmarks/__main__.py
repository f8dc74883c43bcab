"""Run every benchmark with its defaults."""

import subprocess
import sys

for name in ("attention", "allocator", "draws", "samplers", "index"):
    print(f"== benchmarks.{name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
