"""Numbers that tell how good samples are, each with its formula."""
