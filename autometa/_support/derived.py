"""Derive the parameters and the docstring of a class from another class, without some parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any


def init_without(base: type, *names: str) -> Callable[..., None]:
    """Return an ``__init__`` that stores the parameters of `base`, all by name, except `names`.

    Its signature is what scikit-learn reads the parameters of an estimator from.

    Raises
    ------
    TypeError
        If the estimator is made with a parameter that it does not have, or with one without its name.
    """
    parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
    signature = inspect.Signature(
        [
            parameter if parameter.name == "self" else parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in parameters
            if parameter.name not in names
        ]
    )

    def __init__(*arguments: Any, **given: Any) -> None:
        try:
            bound = signature.bind(*arguments, **given)
        except TypeError as error:
            name = type(arguments[0]).__name__
            raise TypeError(f"{name}: {error}. Parameters are given by name, e.g. {name}(time_budget=30).") from None
        bound.apply_defaults()
        instance, *_ = bound.args
        for name, value in bound.kwargs.items():
            setattr(instance, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def docstring_without(base: type, *names: str, summary: str, example: str) -> str:
    """Return the numpydoc text of `base` with another summary and example, and without some parameters or attributes.

    Parameters
    ----------
    base : type
        A class with the sections Parameters and Examples, the last of all.
    *names : str
        Parameters and attributes to leave out.
    summary, example : str
        First line, and the lines of the section Examples.
    """
    sections = inspect.cleandoc(base.__doc__ or "").partition("\n\n")[2].partition("Examples\n--------\n")[0]
    for name in names:
        sections = re.sub(rf"^{re.escape(name)} : .*\n(?:(?:    .*)?\n)*?(?=\S|\Z)", "", sections, flags=re.MULTILINE)
    return f"{summary}\n\n{sections}Examples\n--------\n{inspect.cleandoc(example)}\n"
