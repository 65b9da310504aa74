"""Tables in text are read as they were written, whatever separator, decimal mark, encoding or compression."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa._support.delimited import SEPARATORS, find_form, read_delimited

_NAMES = st.text("ab,;|\t \"é'", min_size=1, max_size=12).filter(lambda name: name == name.strip() and name != '"')
_WORDS = st.text("abcé-/", min_size=1, max_size=6)
_WHOLE = st.integers(-10_000, 10_000).map(str)


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, str, str, list[str], list[list[str]]]:
    """Return a table as text, and what it was made of: separator, decimal mark, names and rows."""
    separator = draw(st.sampled_from(SEPARATORS))
    decimal = draw(st.sampled_from([".", ","]))
    fractions = st.tuples(_WHOLE, st.integers(0, 9)).map(lambda parts: f"{parts[0]}{decimal}{parts[1]}")
    names = draw(st.lists(_NAMES, min_size=2, max_size=6, unique=True))
    kinds = [draw(st.sampled_from([_WORDS, _WHOLE, fractions])) for _ in names]
    rows = draw(st.lists(st.tuples(*kinds).map(list), min_size=1, max_size=20))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    stream = io.StringIO(newline="")
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    csv.writer(stream, delimiter=separator, quoting=quoting, lineterminator=ending).writerows([names, *rows])
    return stream.getvalue(), separator, decimal, names, rows


@given(_written())
def test_the_separator_is_the_one_that_a_table_was_written_with(written: tuple) -> None:
    text, separator, decimal, _, rows = written
    form = find_form(text)
    assert form.separator == separator
    has_fractions = any("," in cell for row in rows for cell in row)
    assert form.decimal == (decimal if has_fractions else ".")


@given(st.sampled_from(SEPARATORS), _NAMES, st.lists(st.one_of(_WORDS, _WHOLE), min_size=2, max_size=9))
def test_a_single_column_is_told_from_several_whatever_its_name(separator: str, name: str, cells: list[str]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator).writerows([[name], *([cell] for cell in cells)])
    form = find_form(stream.getvalue())
    assert form.n_columns == 1
    table = pd.read_csv(io.StringIO(stream.getvalue(), newline=""), sep=form.separator, keep_default_na=False)
    assert list(table) == [name]
    assert len(table) == len(cells)


@given(_written())
@settings(max_examples=30)
def test_names_and_values_come_back_from_a_file(tmp_path_factory: pytest.TempPathFactory, written: tuple) -> None:
    text, _, decimal, names, rows = written
    file = tmp_path_factory.mktemp("tables") / "t.csv"
    file.write_bytes(text.encode())
    table = read_delimited(file, keep_default_na=False)
    assert list(table) == names
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        try:
            expected: list = [float(cell.replace(decimal, ".")) for cell in cells]
        except ValueError:
            expected = list(cells)
        assert table[name].tolist() == expected


def _read(tmp_path: Path, text: str, name: str = "t.csv", **options: str) -> pd.DataFrame:
    file = tmp_path / name
    file.write_bytes(text.encode())
    return read_delimited(file, **options)


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        ("size, in cm, of all;kind;y", "{};{};{}", ["size, in cm, of all", "kind", "y"]),
        ('"a;b;c;d",kind,y', "{},{},{}", ["a;b;c;d", "kind", "y"]),
        ("a;b\tkind, of all; them\ty", "{}\t{}\t{}", ["a;b", "kind, of all; them", "y"]),
        ('"first\nand, second";kind;y', "{};{};{}", ["first\nand, second", "kind", "y"]),
        ("size|kind|y", "{}|{}|{}", ["size", "kind", "y"]),
        ("size, kind, y", "{}, {}, {}", ["size", "kind", "y"]),
        ('size, "kind, or not", y', '{}, "{}, indeed", {}', ["size", "kind, or not", "y"]),
        ("sep=;\nsize, in cm, of all;kind;y", "{};{};{}", ["size, in cm, of all", "kind", "y"]),
    ],
)
def test_separators_inside_of_names_are_part_of_the_names(
    tmp_path: Path, header: str, row: str, names: Sequence[str]
) -> None:
    rows = [row.format(k + 0.5, "ab"[k % 2], ["no", "yes"][k % 2]) for k in range(6)]
    table = _read(tmp_path, "\n".join([header, *rows]) + "\n")
    assert list(table) == list(names)
    assert table[names[0]].tolist() == [k + 0.5 for k in range(6)]
    assert table["y"].tolist() == ["no", "yes"] * 3


def test_free_text_with_commas_does_not_count(tmp_path: Path) -> None:
    table = _read(tmp_path, "id;text;y\n1;fine, thanks;2\n2;so, so, really;3\n3;bad, indeed, yes, it is;4\n")
    assert table["text"].tolist() == ["fine, thanks", "so, so, really", "bad, indeed, yes, it is"]


@pytest.mark.parametrize("cells", [["1", "2"], ["1,5", "2,25"], ["good", "bad"], ["so, so", "good"], ["a;b", "c;d"]])
def test_one_column_stays_one_column(tmp_path: Path, cells: Sequence[str]) -> None:
    table = _read(tmp_path, "\n".join(["y", *cells]) + "\n")
    assert table.shape == (2, 1)
    assert list(table) == ["y"]
    assert table["y"].isna().sum() == 0


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "12"], [0.5, 12.0]),
        (["-1,25", "3e2"], [-1.25, 300.0]),
        (["1.234,5", "950"], [1234.5, 950.0]),
        (["1.234", "0,5"], [1234.0, 0.5]),
        (["1,200", "2,400"], [1.2, 2.4]),
        (["1,5", ""], [1.5, None]),
        (["1,234,567", "2,400"], ["1,234,567", "2,400"]),
        (["2.5", "1,200"], ["2.5", "1,200"]),
        (["2.5", "3"], [2.5, 3.0]),
        (["1,5", "n/k"], ["1,5", "n/k"]),
        (["1,5", "1,2,3"], ["1,5", "1,2,3"]),
    ],
)
def test_decimal_commas_of_a_table_with_semicolons(tmp_path: Path, cells: list[str], expected: list) -> None:
    table = _read(tmp_path, "\n".join(["x;day", *(f"{cell};12.05.2024" for cell in cells)]) + "\n")
    assert [None if pd.isna(value) else value for value in table["x"]] == expected
    assert (table["day"] == "12.05.2024").all()


def test_a_grouped_number_between_tabs_is_no_decimal_comma(tmp_path: Path) -> None:
    assert _read(tmp_path, "x\ty\n1,200\ta\n2,400\tb\n")["x"].tolist() == ["1,200", "2,400"]
    assert _read(tmp_path, "x\ty\n1,200\ta\n2,4\tb\n")["x"].tolist() == [1.2, 2.4]


def test_quoted_decimal_commas_between_commas_are_numbers_and_quoted_groups_are_not_split(tmp_path: Path) -> None:
    assert _read(tmp_path, 'x,y\n"1,5",a\n2,b\n')["x"].tolist() == [1.5, 2.0]
    assert _read(tmp_path, 'x,y\n"1,200",a\n950,b\n')["x"].tolist() == ["1,200", "950"]


def test_line_ends_of_any_system_are_read(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        table = _read(tmp_path, end.join(["size, in cm;y", "1,5;a", "2;b", ""]))
        assert table.to_dict("list") == {"size, in cm": [1.5, 2.0], "y": ["a", "b"]}


def test_a_field_longer_than_the_sample_is_read(tmp_path: Path) -> None:
    long = "word, " * 60_000
    table = _read(tmp_path, f'text, free;y\nshort;1\n"{long}";2\n')
    assert table["text, free"].tolist() == ["short", long]


def test_a_user_can_say_what_cannot_be_seen(tmp_path: Path) -> None:
    text = "last, first;born\nDoe, Ann;1,200\nRoe, Bob;1,300\n"
    assert list(_read(tmp_path, text, separator=",")) == ["last", "first;born"]
    assert _read(tmp_path, text, separator=";", decimal=".")["born"].tolist() == ["1,200", "1,300"]
    assert _read(tmp_path, text)["born"].tolist() == [1.2, 1.3]


def test_separators_at_the_end_of_rows_shift_no_column(tmp_path: Path) -> None:
    table = _read(tmp_path, "a,b\n1,x,\n2,y,\n")
    assert table.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_names_of_rows_without_a_header_are_no_column(tmp_path: Path) -> None:
    table = _read(tmp_path, "a,b\nr1,1,x\nr2,2,y\n")
    assert table.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_a_sample_that_ends_inside_of_a_row_is_enough(tmp_path: Path) -> None:
    rows = [f'{k};"text, with; all | of\nthem";{k},5' for k in range(20_000)]
    table = _read(tmp_path, "\n".join(["number;text, or not;value", *rows]))
    assert table.shape == (20_000, 3)
    assert table["value"].sum() == sum(range(20_000)) + 10_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str, separator: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(f"größe{separator}y\n1{separator}Köln\n2{separator}Rio\n".encode(encoding))
    table = read_delimited(file)
    assert table.to_dict("list") == {"größe": [1, 2], "y": ["Köln", "Rio"]}


def test_utf_16_with_a_mark_of_either_order(tmp_path: Path) -> None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        (tmp_path / "t.csv").write_bytes(mark + "a;b\n1;ü\n".encode(encoding))
        assert read_delimited(tmp_path / "t.csv").to_dict("list") == {"a": [1], "b": ["ü"]}


def _zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("t.csv", data)
        archive.writestr("__MACOSX/._t.csv", b"about the file")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zip", _zipped)]
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_compressed_files_are_looked_into_as_well(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes], encoding: str
) -> None:
    file = tmp_path / f"t.csv{suffix}"
    file.write_bytes(compress("size, in cm;y\n1,5;ä\n2;b\n".encode(encoding)))
    assert read_delimited(file).to_dict("list") == {"size, in cm": [1.5, 2.0], "y": ["ä", "b"]}


def test_zstandard_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    with pyarrow.CompressedOutputStream(str(tmp_path / "t.csv.zst"), "zstd") as stream:
        stream.write(b"a;b\n1,5;x\n")
    assert read_delimited(tmp_path / "t.csv.zst").to_dict("list") == {"a": [1.5], "b": ["x"]}


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip", ".zst"])
def test_damaged_files_are_errors_that_a_caller_expects(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zst":
        pytest.importorskip("pyarrow")
    (tmp_path / f"t.csv{suffix}").write_bytes(b"no such format, and long enough to be looked at")
    with pytest.raises((ValueError, OSError)):
        read_delimited(tmp_path / f"t.csv{suffix}")


def test_a_zip_file_of_several_tables_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "b\n1\n")
    with pytest.raises(ValueError, match="one table, this one holds 2"):
        read_delimited(tmp_path / "t.csv.zip")


def test_columns_kept_as_text_are_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("key;code;price\n007;1.234;1,5\n;5.678;2,5\n")
    table = read_delimited(tmp_path / "t.csv", as_text=["key", "code", "not there"])
    assert table["key"].tolist()[0] == "007" and table["key"].isna().tolist() == [False, True]
    assert table["code"].tolist() == ["1.234", "5.678"]
    assert table["price"].tolist() == [1.5, 2.5]
