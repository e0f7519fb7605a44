"""``python -m keydeck`` is the command ``keydeck``."""

from keydeck.cli import main

if __name__ == "__main__":
    main()
