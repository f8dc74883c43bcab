"""Exchange with the peers: their checkpoints in, ours out.

m = beeline.interop.load("DiT-XL-2-256x256.pt", "dit", num_heads=16, null_row=True)
m.forward_native(x, t, y)                        what the peer's own network gives
beeline.interop.save(m, "folder", "diffusers")   refused, for it would be another function; says why
"""

from beeline.model.interop.anatomy import LAYOUTS
from beeline.model.interop.imported import Imported
from beeline.model.interop.opening import load
from beeline.model.interop.saving import Exported, save

__all__ = ["LAYOUTS", "Exported", "Imported", "load", "save"]
