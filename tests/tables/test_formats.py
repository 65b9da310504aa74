import warnings

import numpy as np
import pytest

from autometa.tables.formats import find_format
from autometa.tables.values import TIME_OF_DAY, labels_of

N = 60


def rows(write):
    return [write(i) for i in range(N)]


FORMATS = {
    "numbers": (rows(lambda i: f"{i / 7:.2f}"), "number", "plain"),
    "numbers with a few other words": (["many", "lots", *(str(i) for i in range(100))], "number", "plain"),
    "one sentinel in ten": (rows(lambda i: str(i) if i % 10 else "unknown"), "number", "plain"),
    "a sentinel with dots": (rows(lambda i: f"{i / 3:.1f}" if i % 10 else "n.a."), "number", "plain"),
    "two sentinels": (rows(lambda i: str(i) if i % 5 else ["unknown", "not given"][i % 2]), "number", "plain"),
    "grouped": (rows(lambda i: f"{i * 1017:,}"), "number", "grouped"),
    "decimal comma": (rows(lambda i: f"{i},25"), "number", "decimal comma"),
    "unit": (rows(lambda i: f"{i} km"), "number", "grouped||km"),
    "unit, bare and missing": (rows(lambda i: [f"{i} kg", f"{i}", "unknown"][i % 3]), "number", "grouped||kg"),
    "plural": (rows(lambda i: f"{i} year{'s' * (i != 1)}"), "number", "grouped||year"),
    "unit with decimal comma": (rows(lambda i: f"{i},5 l"), "number", "decimal comma||l"),
    "currency in front": (rows(lambda i: f"USD {i * 1000:,}"), "number", "grouped|usd|"),
    "currency behind": (rows(lambda i: f"{i} EUR"), "number", "grouped||eur"),
    "factor": (rows(lambda i: f"{i / 10}k"), "number", "grouped||×"),
    "factors": (rows(lambda i: f"${i / 10}{['k', 'M', ''][i % 3]}"), "number", "grouped|$|×"),
    "metres": (rows(lambda i: f"{i} m"), "number", "grouped||m"),
    "ISO dates": (rows(lambda i: f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}"), "datetime", "ISO8601"),
    "dates with a sentinel": (rows(lambda i: f"2024-01-{i % 28 + 1:02}" if i % 10 else "open"), "datetime", "ISO8601"),
    "empty dates": (rows(lambda i: f"2024-01-{i % 28 + 1:02}" if i % 10 else "0000-00-00"), "datetime", "ISO8601"),
    "day first": (rows(lambda i: f"{i % 28 + 1:02}/{i % 12 + 1:02}/2024"), "datetime", "%d/%m/%Y"),
    "short years": (rows(lambda i: f"{i % 28 + 1}/{i % 12 + 1}/21"), "datetime", "%d/%m/%y"),
    "quarters": (rows(lambda i: f"20{i}Q{i % 4 + 1}" if i > 9 else None), "datetime", "ISO8601"),
    "times": (rows(lambda i: f"{i % 24:02}:{i:02}"), "datetime", TIME_OF_DAY),
    "times with a sentinel": (rows(lambda i: f"{i % 24:02}:{i:02}" if i % 10 else "n.a."), "datetime", TIME_OF_DAY),
    "times with seconds": (rows(lambda i: f"{i % 24:02}:{i:02}:07.5"), "datetime", TIME_OF_DAY),
    "times by the clock": (rows(lambda i: f"{i % 12 + 1}:{i:02} {'ap'[i % 2]}m"), "datetime", TIME_OF_DAY),
    "long times": (rows(lambda i: f"{i}:{i:02}"), "timedelta", "timedelta"),
    "spans as pandas writes them": (rows(lambda i: f"{i} days 0{i % 9}:00:00"), "timedelta", "timedelta"),
    "spans in several units": (rows(lambda i: f"{i % 5}h {i}m"), "timedelta", "timedelta"),
    "spans in one of two units": (rows(lambda i: f"{i} min" if i % 2 else f"{i} hours"), "timedelta", "timedelta"),
}


def found(texts):
    labels = [text for text in labels_of(texts) if text]
    levels, counts = np.unique(np.array(labels, dtype=object), return_counts=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return find_format(levels.tolist(), counts)


@pytest.mark.parametrize(("texts", "kind", "style"), FORMATS.values(), ids=FORMATS)
def test_text_that_means_something_else_is_recognised(texts, kind, style):
    text_format = found(texts)
    assert (text_format.kind, text_format.style) == (kind, style)
    assert not text_format.is_ambiguous


NO_FORMATS = {
    "words": rows(lambda i: ["red", "green"][i % 2]),
    "truths": rows(lambda i: ["True", "False", "unknown"][i % 3]),
    "few numbers and a word": rows(lambda i: ["1", "2", "x"][i % 3]),
    "mostly a word": rows(lambda i: str(i) if i % 5 == 0 else "unknown"),
    "many words": rows(lambda i: str(i) if i % 5 else f"word{i}"),
    "keys": rows(lambda i: f"store_{i % 20}"),
    "keys of one letter": rows(lambda i: f"A{i % 20}"),
    "grades": rows(lambda i: f"grade {i % 12}"),
    "two units": rows(lambda i: f"{i} {['km', 'mi'][i % 2]}"),
    "flats": rows(lambda i: f"{i}{'ABC'[i % 3]}"),
    "cards": rows(lambda i: f"{i % 13 + 1}{'shdc'[i % 4]}"),
    "cards without clubs": rows(lambda i: f"{i % 13 + 1}{'shd'[i % 3]}"),
    "versions": rows(lambda i: f"{i % 4}.{i % 7}.{i % 9}"),
    "ranges": rows(lambda i: f"{i}-{i + 9}"),
    "feet and inches": rows(lambda i: f"{i % 3 + 4}' {i % 12}\""),
    "sentences": rows(lambda i: f"{i} men went to mow a meadow with {i} dogs"),
    "only missing": ["?", "n/a", "-"],
}


@pytest.mark.parametrize("texts", NO_FORMATS.values(), ids=NO_FORMATS)
def test_other_text_stays_text(texts):
    assert found(texts) is None


def test_sentinels_are_named():
    assert found(FORMATS["two sentinels"][0]).sentinels == ("not given", "unknown")
    assert found(FORMATS["numbers with a few other words"][0]).sentinels == ("lots", "many")
    assert found(FORMATS["numbers"][0]).sentinels == ()


@pytest.mark.parametrize(
    ("write", "style"),
    [
        ("{:02}/{:02}/2024", "%m/%d/%Y"),
        ("{}-{}-2024 10:30", "%m-%d-%Y %H:%M"),
        ("{:02}.{:02}.2024", "%d.%m.%Y"),
        ("{}/{}/24", "%m/%d/%y"),
    ],
)
def test_dates_that_make_sense_both_ways_are_ambiguous(write, style):
    text_format = found(rows(lambda i: write.format(i % 12 + 1, i * 7 % 12 + 1)))
    assert (text_format.style, text_format.is_ambiguous) == (style, True)
    assert not found(rows(lambda i: write.format(i % 12 + 1, i % 12 + 1))).is_ambiguous
