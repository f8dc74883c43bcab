"""What a GPU gives, on torch, numpy and safetensors alone: correctness first, then one table of speed and memory."""
