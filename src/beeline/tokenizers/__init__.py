"""From arrays to tokens and back."""
