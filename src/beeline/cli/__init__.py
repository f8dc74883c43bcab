"""The commands: one thin file each, the verb as a function, the parser last."""
