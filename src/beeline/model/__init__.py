"""Tokenizer, conditions and backbone together: the Predictor, and the format in which it is kept."""
