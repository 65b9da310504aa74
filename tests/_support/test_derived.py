"""A class with the parameters of another, without some."""

from __future__ import annotations

import inspect
import pickle

import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.externals._numpydoc.docscrape import NumpyDocString

from autometa import AutoMeta, AutoMetaClassifier, AutoMetaRegressor
from autometa._support.derived import docstring_without, init_without


class Base(BaseEstimator):
    """First line.

    Parameters
    ----------
    one : int
        Of several

        paragraphs.
    two : {"a", "b"}, default="a"
        Of one.
    three : float, default=1.0
        The last.

    Attributes
    ----------
    one_ : int
        Fitted.
    two_ : int
        Fitted, too.

    Examples
    --------
    >>> Base(1).one
    1
    """

    def __init__(self, one: int, two: str = "a", *, three: float = 1.0) -> None:
        self.one, self.two, self.three = one, two, three


class Derived(Base):
    __doc__ = docstring_without(Base, "two", "one_", summary="Another line.", example=">>> Derived(one=1).one\n1")
    __init__ = init_without(Base, "two")


def test_parameters_are_those_of_the_base_but_for_some() -> None:
    assert list(inspect.signature(Derived).parameters) == ["one", "three"]
    assert Derived(one=2).get_params() == {"one": 2, "three": 1.0}
    assert clone(Derived(one=2, three=3.0)).get_params() == {"one": 2, "three": 3.0}
    assert pickle.loads(pickle.dumps(Derived(one=2))).get_params() == {"one": 2, "three": 1.0}


@pytest.mark.parametrize(
    ("arguments", "given", "match"),
    [
        ((), {}, "Derived: missing a required argument: 'one'"),
        ((1,), {}, r"Derived: too many positional arguments. Parameters are given by name"),
        ((), {"one": 1, "two": "b"}, "Derived: got an unexpected keyword argument 'two'"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[int, ...], given: dict[str, object], match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Derived(*arguments, **given)


def test_the_text_is_that_of_the_base_but_for_what_is_left_out() -> None:
    text = NumpyDocString(Derived.__doc__)
    assert text["Summary"] == ["Another line."]
    assert [(part.name, part.type) for part in text["Parameters"]] == [("one", "int"), ("three", "float, default=1.0")]
    assert text["Parameters"][0].desc == ["Of several", "", "paragraphs."]
    assert [part.name for part in text["Attributes"]] == ["two_"]
    assert text["Examples"] == [">>> Derived(one=1).one", "1"]


@pytest.mark.parametrize("estimator", [AutoMeta, AutoMetaClassifier, AutoMetaRegressor])
def test_every_parameter_of_an_estimator_is_documented_in_its_order(estimator: type[AutoMeta]) -> None:
    documented = [part.name for part in NumpyDocString(inspect.getdoc(estimator))["Parameters"]]
    assert documented == list(inspect.signature(estimator).parameters)
