"""Columns of free text: its length and repetitions, and an embedding of hashed words and pieces of words.

Hashing runs over the bytes of many texts at once, in numpy, because a Python loop over
characters would take longer than fitting a model.
"""

# Tests: tests/tables/test_preparation.py

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from autometa.tables.column_kind import ColumnKind, IncomingTable, TrainingColumn
from autometa.tables.reading import Labels, as_labels
from autometa.tables.schema import Schema
from autometa.tables.values import GAP_WORDS, loose_label
from autometa.tables.view import View

_MAX_DIMENSIONS = 30
_MIN_DIMENSIONS = 3
_ROWS_PER_DIMENSION = 10
"""Training rows per dimension of the first column of text; each further column needs twice as many."""
_MEASURES = ("characters", "words", "frequency")

_N_BUCKETS = 2**16
"""Hash values of words, pairs of words and trigrams."""
_CHUNK_CHARACTERS = 2**17
"""Texts are hashed in chunks whose arrays fit into the processor's cache."""
_MAX_CHARACTERS = 2000
"""Longer texts are cut, so that the time stays bounded."""
_N_FIT_ROWS = 4_000
_N_TERMS = 4_096
_GRAM = 3

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_PRIME), -1, 2**64))
_IS_WORD = np.zeros(256, dtype=bool)
_IS_WORD[[*range(48, 58), *range(97, 123), *range(128, 256)]] = True


class Texts(ColumnKind):
    """Free text as `object`, the empty text where missing."""

    field = "texts"
    dtype = object

    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        schema.texts.append(column.name)
        return True

    def read(self, table: IncomingTable, schema: Schema) -> np.ndarray:
        block = np.empty((len(table.frame), len(schema.texts)), dtype=self.dtype, order="F")
        for j, name in enumerate(schema.texts):
            block[:, j] = _as_text(as_labels(table.column(name)))
        return block

    def is_missing(self, block: np.ndarray) -> np.ndarray:
        return block == ""

    def most_columns(self, schema: Schema) -> int:
        # The measures may each bring an indicator of their gaps.
        return (_MAX_DIMENSIONS + 2 * len(_MEASURES)) * len(schema.texts)

    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        """Learn how often each text of a column occurs."""
        names = [f"{name} {measure}" for name in schema.texts for measure in _MEASURES]
        return names, [_repeats(texts) for texts in block.T]

    def measure(self, block: np.ndarray, learnt: list[dict[str, float]], is_cyclic: bool) -> np.ndarray:
        columns = np.empty((len(block), len(_MEASURES) * len(learnt)), dtype=np.float32)
        for j, (texts, repeats) in enumerate(zip(block.T, learnt, strict=True)):
            columns[:, len(_MEASURES) * j : len(_MEASURES) * (j + 1)] = _text_measures(texts, repeats)
        return columns

    def fit_encoder(self, block: np.ndarray, schema: Schema, view: View, rng: np.random.Generator) -> TextTopics:
        n_dimensions = len(block) // (_ROWS_PER_DIMENSION * max(1, 2 * len(schema.texts) - 1))
        n_dimensions = min(_MAX_DIMENSIONS, max(_MIN_DIMENSIONS, n_dimensions))
        embeddings = [
            fit_text_embedding([text for text in pd.unique(texts) if text], n_dimensions, rng) for texts in block.T
        ]
        names = [
            f"{name} topic {i}"
            for name, embedding in zip(schema.texts, embeddings, strict=True)
            for i in range(embedding.n_dimensions)
        ]
        return TextTopics(embeddings, names)

    def saved_types(self) -> tuple[type, ...]:
        return TextTopics, TextEmbedding


class TextTopics:
    """The embeddings of all columns of text, side by side."""

    def __init__(self, embeddings: list[TextEmbedding], names: list[str]) -> None:
        self.embeddings = embeddings
        self.names = names
        self.worth = np.ones(len(names))
        self.sizes = np.zeros(len(names), dtype=np.int64)

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        end = 0
        for embedding in self.embeddings:
            start, end = end, end + embedding.n_dimensions
            embedding.components = embedding.components[:, mask[start:end]]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.worth, self.sizes = self.worth[mask], self.sizes[mask]

    def write(self, block: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        end = 0
        for texts, embedding in zip(block.T, self.embeddings, strict=True):
            start, end = end, end + embedding.n_dimensions
            out[:, start:end] = embedding.transform(texts)


class TextEmbedding:
    """Latent semantic analysis of words, pairs of words and character trigrams.

    Deerwester et al. (1990), "Indexing by latent semantic analysis", with feature hashing
    (Weinberger et al., 2009) instead of a vocabulary.

    Attributes
    ----------
    term_of_bucket : ndarray of shape (n_buckets,), int32
        Index of the term of each hash bucket, −1 for buckets that are not used.
    weights : ndarray of shape (n_terms,), float32
        Inverse document frequencies.
    components : ndarray of shape (n_terms, n_dimensions), float32
        Projection, scaled so that the dimensions together have about unit variance each.
    """

    def __init__(self, term_of_bucket: np.ndarray, weights: np.ndarray, components: np.ndarray) -> None:
        self.term_of_bucket = term_of_bucket
        self.weights = weights
        self.components = components

    @property
    def n_dimensions(self) -> int:
        """Number of columns that ``transform`` returns; 0 where texts share no terms."""
        return self.components.shape[1]

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Return the embedding, float32 of shape (n_texts, n_dimensions); an empty text gives zeros."""
        result = np.zeros((len(texts), self.n_dimensions), dtype=np.float32)
        if self.n_dimensions:
            start = 0
            for n_rows, rows, buckets in _hashed_chunks(texts):
                terms = _weighted(_counts(n_rows, rows, buckets, self.term_of_bucket, len(self.weights)), self.weights)
                result[start : start + n_rows] = terms @ self.components
                start += n_rows
        return result


def fit_text_embedding(texts: Sequence[str], n_dimensions: int, rng: np.random.Generator) -> TextEmbedding:
    """Return an embedding learnt from distinct, non-empty texts (a sample of at most 4,000)."""
    if len(texts) > _N_FIT_ROWS:
        texts = [texts[i] for i in np.sort(rng.choice(len(texts), _N_FIT_ROWS, replace=False))]
    every = np.arange(_N_BUCKETS, dtype=np.int32)
    chunks = [_counts(n_rows, rows, buckets, every, _N_BUCKETS) for n_rows, rows, buckets in _hashed_chunks(texts)]
    counts = sparse.vstack(chunks, format="csr")
    n_documents = np.bincount(counts.indices, minlength=_N_BUCKETS)
    # Terms of one text or of all texts carry no information about similarity.
    useful = np.flatnonzero((n_documents >= 2) & (n_documents < len(texts)))
    chosen = np.sort(useful[np.argsort(-n_documents[useful], kind="stable")[:_N_TERMS]])
    term_of_bucket = np.full(_N_BUCKETS, -1, dtype=np.int32)
    term_of_bucket[chosen] = np.arange(len(chosen))
    weights = (np.log((1 + len(texts)) / (1 + n_documents[chosen])) + 1).astype(np.float32)
    n_dimensions = min(n_dimensions, len(chosen), len(texts) - 1)
    if n_dimensions < 1:
        return TextEmbedding(term_of_bucket, weights, np.zeros((len(chosen), 0), dtype=np.float32))
    terms = _weighted(counts[:, chosen], weights)
    _, values, rows = randomized_svd(
        terms, n_dimensions, n_iter=2, random_state=int(rng.integers(2**31)), power_iteration_normalizer="QR"
    )
    scale = np.sqrt(len(texts) / np.mean(values[1:] ** 2)) if len(values) > 1 and values[1] > 0 else 1.0
    return TextEmbedding(term_of_bucket, weights, (rows.T * scale).astype(np.float32))


def _hashed_chunks(texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (n_texts, text of each occurrence, bucket of each occurrence) for chunks of the texts."""
    start = 0
    while start < len(texts):
        encoded, n_characters = [], 0
        while start < len(texts) and n_characters < _CHUNK_CHARACTERS:
            encoded.append(texts[start][:_MAX_CHARACTERS].lower().encode("utf-8", "replace"))
            n_characters += len(encoded[-1]) + 2
            start += 1
        yield (len(encoded), *_hash(encoded))


def _hash(encoded: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text and the bucket of each word, pair of neighbouring words and character trigram."""
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)) + 2
    # Each text gets a space on both sides, so no word crosses from one text to the next.
    data = np.frombuffer(b" " + b"  ".join(encoded) + b" ", dtype=np.uint8)
    row = np.repeat(np.arange(len(encoded), dtype=np.int32), lengths)

    # Trigrams: those that lie within one text.
    is_inside = row[: len(data) - _GRAM + 1] == row[_GRAM - 1 :]
    wide = data.astype(np.uint64)
    grams = wide[:-2] | (wide[1:-1] << np.uint64(8)) | (wide[2:] << np.uint64(16))
    gram_rows, grams = row[: len(grams)][is_inside], grams[is_inside]

    # Words: a sum of byte × prime^position over the word, divided by prime^start, does not
    # depend on where the word stands (all modulo 2^64, where an odd prime has an inverse).
    is_word = _IS_WORD[data]
    starts = np.flatnonzero(is_word[1:] & ~is_word[:-1]) + 1
    ends = np.flatnonzero(is_word[:-1] & ~is_word[1:]) + 1
    powers = np.cumprod(np.full(len(data), _PRIME), dtype=np.uint64)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum((wide + np.uint64(1)) * powers, dtype=np.uint64)])
    inverses = np.cumprod(np.full(len(data), _INVERSE), dtype=np.uint64)
    words = (sums[ends] - sums[starts]) * inverses[starts]
    word_rows = row[starts]
    is_pair = word_rows[1:] == word_rows[:-1]
    pairs = (words[:-1] * np.uint64(31) + words[1:])[is_pair]

    hashes = np.concatenate([grams, words, pairs])
    hashes ^= hashes >> np.uint64(32)
    hashes *= _PRIME
    buckets = (hashes >> np.uint64(48)).astype(np.int32)
    return np.concatenate([gram_rows, word_rows, word_rows[1:][is_pair]]), buckets


def _counts(
    n_rows: int, rows: np.ndarray, buckets: np.ndarray, term_of_bucket: np.ndarray, n_terms: int
) -> sparse.csr_matrix:
    terms = term_of_bucket[buckets]
    used = terms >= 0
    ones = np.ones(np.count_nonzero(used), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows[used], terms[used])), shape=(n_rows, n_terms))


def _weighted(counts: sparse.csr_matrix, weights: np.ndarray) -> sparse.csr_matrix:
    """Return tf-idf rows of length 1; the term frequency enters as 1 + log."""
    result = counts.copy()
    result.data = (1 + np.log(result.data)) * weights[result.indices]
    squares = np.asarray(result.multiply(result).sum(axis=1)).ravel()
    norms = np.sqrt(np.where(squares > 0, squares, 1)).astype(np.float32)
    result.data /= np.repeat(norms, np.diff(result.indptr))
    return result


def _as_text(labels: Labels) -> np.ndarray:
    texts = [text if text[0] not in "0+-" else loose_label(text) for text in labels.levels]
    if not GAP_WORDS.isdisjoint(texts):
        texts = ["" if text in GAP_WORDS else text for text in texts]
    return np.array([*texts, ""], dtype=object)[labels.codes]


def _repeats(texts: np.ndarray) -> dict[str, float]:
    """Return the logarithm of the count of each text that occurs more than once.

    A text seen once is left out, because it must count like a text that was never seen.
    """
    codes, distinct = pd.factorize(texts)
    counts = np.bincount(codes, minlength=len(distinct))
    return {distinct[i]: float(np.log(counts[i])) for i in np.flatnonzero(counts > 1) if distinct[i]}


def _text_measures(texts: np.ndarray, repeats: dict[str, float]) -> np.ndarray:
    """Return `_MEASURES` of texts, float32 of shape (n_rows, 3)."""
    n = len(texts)
    measures = np.empty((n, len(_MEASURES)), dtype=np.float32)
    measures[:, 0] = np.fromiter(map(len, texts), dtype=np.float32, count=n)
    measures[:, 1] = np.fromiter((text.count(" ") for text in texts), dtype=np.float32, count=n) + 1
    measures[:, 2] = np.fromiter((repeats.get(text, 0.0) for text in texts), dtype=np.float32, count=n)
    measures[measures[:, 0] == 0] = np.nan
    return measures
