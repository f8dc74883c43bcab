"""Attention, positions, embeddings, norms and feed-forward layers: what a backbone is made of."""
