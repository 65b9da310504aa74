"""List the modules of autometa with the first sentence of each, for the page on the architecture.

``python docs/house.py`` writes the list into ``docs/design/architecture.md``, between two marks. A test compares it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design" / "architecture.md"
START, END = "<!-- modules: written by docs/house.py -->", "<!-- end of modules -->"


def module_list(package: Path = ROOT / "autometa") -> str:
    """Return the list in Markdown: a heading for each package, a line for each module."""
    return "\n".join(_lines(package))


def written_list(page: Path = PAGE) -> str:
    """Return the list that the page shows."""
    return page.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].strip()


def _lines(package: Path) -> Iterator[str]:
    name = package.relative_to(ROOT).as_posix()
    yield f"**`{name}/`**: {_first_sentence(package / '__init__.py')}\n"
    for module in sorted(package.glob("*.py")):
        if module.name != "__init__.py":
            yield f"- `{module.name}`: {_first_sentence(module)}"
    for inner in sorted(folder for folder in package.iterdir() if (folder / "__init__.py").exists()):
        yield ""
        yield from _lines(inner)


def _first_sentence(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring, f"{module} has no docstring"
    return " ".join(docstring.partition("\n\n")[0].split())


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    PAGE.write_text(f"{before}{START}\n\n{module_list()}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
