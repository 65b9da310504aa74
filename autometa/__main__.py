"""``python -m autometa``."""
# Tests: tests/test_cli.py

from autometa.cli import main

# Worker processes import this module again, under another name.
if __name__ == "__main__":
    raise SystemExit(main())
