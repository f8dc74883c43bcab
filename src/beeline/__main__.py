"""``python -m beeline``."""

from beeline.cli.main import main

if __name__ == "__main__":
    main()
