"""Meta-features: named numbers that describe a task; they cost little compared with one evaluation.

`REGISTRY` gives the meaning and the range of each. Counts and shares of missing values are computed on all rows, the
others on a sample of rows and columns. The order of rows, columns and classes and the names of columns do not matter;
weights and groups of rows are not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autometa._support.numeric_threads import numeric_threads
from autometa.tables.clean_table import CleanTable
from autometa.tables.kinds import KINDS
from autometa.tables.landmarks import WORST, landmark_losses
from autometa.tables.sample import Sample, draw_sample
from autometa.tables.schema import Schema
from autometa.tables.table_task import Task

_N_ROWS = 5_000
"""Maximum rows on which shapes and relations of columns are measured."""
_N_COLUMNS = 200
"""Maximum columns for everything but counts and missing values."""
_N_BINS = 8
_N_LEVELS = 16
"""Groups of levels for mutual information: the most frequent levels have their own, the others share the last."""


@dataclass(frozen=True)
class MetaFeature:
    """Meaning and range of a meta-feature; one that names a condition is NaN where the condition does not hold."""

    meaning: str
    low: float = 0.0
    high: float = 1.0


_INFINITE = math.inf

REGISTRY: dict[str, MetaFeature] = {
    # counts; logarithms are natural, dropped columns do not count
    "log_rows": MetaFeature("log of the number of rows", 0, _INFINITE),
    "log_columns": MetaFeature("log of the number of columns", 0, _INFINITE),
    "log_columns_per_row": MetaFeature("log of columns / rows", -_INFINITE, _INFINITE),
    "log_width": MetaFeature("log of the number of columns after each level gets its own", 0, _INFINITE),
    "log_classes": MetaFeature("log of the number of classes; classification", 0, _INFINITE),
    "log_rarest_rows": MetaFeature("log of the rows of the rarest class; classification", 0, _INFINITE),
    # kinds of columns
    "number_share": MetaFeature("share of the columns that are numbers or spans of time"),
    "datetime_share": MetaFeature("share of the columns that are dates or times"),
    "category_share": MetaFeature("share of the columns that are categories"),
    "text_share": MetaFeature("share of the columns that are free text"),
    # missing values and repeated rows
    "missing_cell_share": MetaFeature("share of the cells that are missing"),
    "missing_column_share": MetaFeature("share of the columns with a missing value"),
    "missing_row_share": MetaFeature("share of the rows with a missing value"),
    "missing_max": MetaFeature("largest share of missing values in a column"),
    "duplicate_row_share": MetaFeature("1 - number of distinct rows / number of rows, by the columns"),
    # categories and texts
    "log_levels_mean": MetaFeature("mean log of the number of levels; tables with categories", 0, _INFINITE),
    "log_levels_max": MetaFeature("log of the largest number of levels; tables with categories", 0, _INFINITE),
    "log_characters": MetaFeature("mean log(1 + characters) of a text; tables with texts", 0, _INFINITE),
    # classes
    "class_entropy": MetaFeature("entropy of the classes / log of their number; two classes or more"),
    "minority_share": MetaFeature("share of the rarest class; classification"),
    "majority_share": MetaFeature("share of the most frequent class; classification"),
    # values of the target
    "target_skew": MetaFeature("sign(s) log(1 + |s|) of the skewness s; regression", -_INFINITE, _INFINITE),
    "target_log_kurtosis": MetaFeature("log of the kurtosis, 1.1 for a normal; regression", 0, _INFINITE),
    "target_mode_share": MetaFeature("share of the most frequent value; regression"),
    "target_log_distinct": MetaFeature("log of the number of distinct values; regression", 0, _INFINITE),
    "target_outlier_share": MetaFeature("share beyond 1.5 interquartile ranges from the quartiles; regression"),
    "target_is_whole": MetaFeature("1 if all values are whole numbers, else 0; regression"),
    # shapes of the columns of numbers; NaN without such columns
    "skew_mean": MetaFeature("mean log(1 + |skewness|); numbers", 0, _INFINITE),
    "skew_max": MetaFeature("largest log(1 + |skewness|); numbers", 0, _INFINITE),
    "log_kurtosis_mean": MetaFeature("mean log of the kurtosis; numbers", 0, _INFINITE),
    "log_kurtosis_max": MetaFeature("largest log of the kurtosis; numbers", 0, _INFINITE),
    "outlier_share": MetaFeature("share of the values beyond 1.5 interquartile ranges from the quartiles; numbers"),
    "zero_share": MetaFeature("share of the values that are 0; numbers"),
    "whole_share": MetaFeature("share of the columns with only whole numbers; numbers"),
    "binary_share": MetaFeature("share of the columns with two distinct values; numbers"),
    "distinct_mean": MetaFeature("mean of distinct / present values of a column, in the sample; numbers"),
    # relations of columns with one another and with the target
    "correlation_mean": MetaFeature("mean |Pearson correlation| of two columns; two varying columns of numbers"),
    "correlation_max": MetaFeature("largest |Pearson correlation| of two columns; two varying columns of numbers"),
    "first_component_share": MetaFeature("share of variance of the first principal component; numbers that vary"),
    "effective_rank": MetaFeature("exp(entropy of the components' shares) / columns; numbers that vary"),
    "target_correlation_mean": MetaFeature("mean of |correlation|, or of eta for classes, with the target; numbers"),
    "target_correlation_max": MetaFeature("largest |correlation|, or eta for classes, with the target; numbers"),
    "information_mean": MetaFeature("mean of mutual information with the target / its entropy; all but texts"),
    "information_max": MetaFeature("largest mutual information with the target / its entropy; all but texts"),
    # landmarks: squared error / that of a constant, cross-validated on at most 1,000 rows; targets that vary
    "landmark_stump": MetaFeature("relative loss of a tree with one split", 0, WORST),
    "landmark_tree": MetaFeature("relative loss of a tree of depth 6", 0, WORST),
    "landmark_1_neighbour": MetaFeature("relative loss of the nearest neighbour", 0, WORST),
    "landmark_10_neighbours": MetaFeature("relative loss of the ten nearest neighbours", 0, WORST),
    "landmark_ridge": MetaFeature("relative loss of ridge regression, on 0/1 columns for classes", 0, WORST),
    "landmark_naive_bayes": MetaFeature("relative loss of Gaussian naive Bayes; classification", 0, WORST),
}

META_FEATURES: tuple[str, ...] = tuple(REGISTRY)
"""Names of the meta-features, in the order in which `describe` returns them."""


def describe(task: Task) -> dict[str, float]:
    """Return the meta-features of a task, in the order of `META_FEATURES`.

    Returns
    -------
    dict of str to float
        Finite values; NaN where a meta-feature is not defined, e.g. the entropy of the classes in regression.
    """
    schema = task.table.schema
    # One thread: more would cost more than they save, and would change how sums are rounded.
    with numeric_threads(), np.errstate(all="ignore"):
        sample, duplicate_row_share = draw_sample(task, _N_ROWS, _N_COLUMNS)
        numbers, moments, codes, texts = _sampled_values(sample)
        values = {
            **_counts(task),
            **_kinds(schema),
            **_missing(task.table),
            "duplicate_row_share": duplicate_row_share,
            **_levels(schema),
            **_characters(texts),
            **(_classes(task) if task.n_classes else _target(task.y)),
            **_shapes(numbers),
            **_correlations(numbers, sample),
            **_information(numbers, moments, codes, sample),
            **landmark_losses(sample),
        }
    values = {name: float(value) for name, value in values.items()}
    return {name: value if math.isfinite(value := values.get(name, math.nan)) else math.nan for name in META_FEATURES}


def _counts(task: Task) -> dict[str, float]:
    n_rows, n_columns = task.n_rows, task.table.n_columns
    categories = task.table.schema.categories
    n_levels = sum(len(levels) for levels in categories.values())
    counts = {
        "log_rows": math.log(n_rows),
        "log_columns": math.log(n_columns),
        "log_columns_per_row": math.log(n_columns / n_rows),
        "log_width": math.log(n_columns - len(categories) + n_levels),
    }
    return counts | {"log_classes": math.log(task.n_classes)} if task.n_classes else counts


def _kinds(schema: Schema) -> dict[str, float]:
    kinds = list(schema.kinds.values())
    shares = {f"{kind}_share": kinds.count(kind) / len(kinds) for kind in ("datetime", "category", "text")}
    return {"number_share": (kinds.count("number") + kinds.count("timedelta")) / len(kinds), **shares}


def _missing(table: CleanTable) -> dict[str, float]:
    n_missing: list[np.ndarray] = []
    in_row = np.zeros(len(table), dtype=bool)
    for kind in KINDS:
        missing = kind.is_missing(table.blocks[kind.field])
        n_missing.append(missing.sum(axis=0))
        in_row |= missing.any(axis=1)
    share = np.concatenate(n_missing) / len(in_row)
    return {
        "missing_cell_share": share.mean(),
        "missing_column_share": np.mean(share > 0),
        "missing_row_share": in_row.mean(),
        "missing_max": share.max(),
    }


def _levels(schema: Schema) -> dict[str, float]:
    if not schema.categories:
        return {}
    logs = np.sort(np.log([len(levels) for levels in schema.categories.values()]))
    return {"log_levels_mean": logs.mean(), "log_levels_max": logs.max()}


def _characters(texts: np.ndarray) -> dict[str, float]:
    lengths = np.array([len(text) for text in texts.ravel() if text])
    return {"log_characters": np.log1p(lengths).mean()} if len(lengths) else {}


def _classes(task: Task) -> dict[str, float]:
    counts = np.sort(np.bincount(task.y, minlength=task.n_classes))
    counts = counts[counts > 0]
    return {
        "log_rarest_rows": math.log(counts[0]),
        "class_entropy": _entropy(counts) / math.log(task.n_classes) if task.n_classes > 1 else math.nan,
        "minority_share": counts[0] / counts.sum(),
        "majority_share": counts[-1] / counts.sum(),
    }


def _target(y: np.ndarray) -> dict[str, float]:
    y = np.sort(y)
    _, counts = np.unique(y, return_counts=True)
    skew, kurtosis = _skew_and_kurtosis(y[:, None])
    return {
        "target_skew": np.sign(skew[0]) * np.log1p(abs(skew[0])),
        "target_log_kurtosis": np.log(kurtosis[0]),
        "target_mode_share": counts.max() / len(y),
        "target_log_distinct": math.log(len(counts)),
        "target_outlier_share": _outliers(y[:, None], np.array([len(y)])) / len(y),
        "target_is_whole": np.all(y == np.rint(y)),
    }


def _sampled_values(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the sampled numbers and moments as float64, NaN where missing, then category codes and texts."""
    blocks = sample.table.blocks
    moments = blocks["moments"]
    ticks = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
    numbers = np.concatenate([blocks["numbers"], blocks["precise"]], axis=1, dtype=np.float64)
    return numbers, ticks, blocks["categories"], blocks["texts"]


def _shapes(numbers: np.ndarray) -> dict[str, float]:
    ordered = np.sort(numbers, axis=0)  # NaN at the end
    n_present = np.count_nonzero(~np.isnan(ordered), axis=0)
    ordered, n_present = ordered[:, n_present > 0], n_present[n_present > 0]
    if not n_present.size:
        return {}
    steps = ordered[1:] > ordered[:-1]  # False next to NaN
    n_distinct = 1 + np.count_nonzero(steps, axis=0)
    is_present = ~np.isnan(ordered)
    skew, kurtosis = _skew_and_kurtosis(ordered[:, n_distinct > 1])
    shapes = {
        "outlier_share": _outliers(ordered, n_present) / n_present.sum(),
        "zero_share": np.count_nonzero(ordered == 0) / n_present.sum(),
        "whole_share": np.mean(((ordered == np.rint(ordered)) | ~is_present).all(axis=0)),
        "binary_share": np.mean(n_distinct == 2),
        "distinct_mean": np.mean(n_distinct / n_present),
    }
    if len(skew):
        skew, logs = np.log1p(np.abs(skew)), np.log(kurtosis)
        shapes |= {
            "skew_mean": skew.mean(),
            "skew_max": skew.max(),
            "log_kurtosis_mean": logs.mean(),
            "log_kurtosis_max": logs.max(),
        }
    return shapes


def _skew_and_kurtosis(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return m₃ / m₂^1.5 and m₄ / m₂² of each column, of its present values; NaN for a constant."""
    deviations = _deviations(values)
    n_present = np.count_nonzero(~np.isnan(values), axis=0)
    squares = np.square(deviations)
    second, third, fourth = (
        np.einsum("ij,ij->j", squares, factor) / n_present for factor in (np.ones_like(squares), deviations, squares)
    )
    return third / second**1.5, np.maximum(fourth / second**2, 1)  # below 1 only by rounding


def _deviations(values: np.ndarray) -> np.ndarray:
    """Return the columns less their means in units of their largest deviation; 0 where missing."""
    # Scaled before and after, because powers of very large or small deviations overflow or underflow.
    values = values / np.fmax.reduce(np.abs(values), axis=0)
    n_present = np.count_nonzero(~np.isnan(values), axis=0)
    deviations = np.nan_to_num(values - np.nan_to_num(values).sum(axis=0) / n_present)
    return np.nan_to_num(deviations / np.abs(deviations).max(axis=0, initial=0))


def _outliers(ordered: np.ndarray, n_present: np.ndarray) -> int:
    """Return how many values lie beyond 1.5 interquartile ranges from the quartiles of their sorted column.

    Columns with equal quartiles have none; else every value but the most frequent one would count.
    """
    columns = np.arange(ordered.shape[1])
    # Halved, so that the range of the largest numbers stays finite.
    half = ordered / 2
    lower, upper = (half[(n_present - 1) * quarter // 4, columns] for quarter in (1, 3))
    reach = 1.5 * (upper - lower)
    return int(np.count_nonzero(((half < lower - reach) | (half > upper + reach)) & (reach > 0)))


def _correlations(numbers: np.ndarray, sample: Sample) -> dict[str, float]:
    deviations = _deviations(numbers)
    deviations = deviations[:, deviations.any(axis=0)]
    # Missing values are imputed with the mean.
    unit = deviations / np.sqrt(np.square(deviations).sum(axis=0))
    n_columns = unit.shape[1]
    if not n_columns:
        return {}
    matrix = unit.T @ unit
    shares = np.clip(np.linalg.eigvalsh(matrix), 0, None) / n_columns
    with_target = np.minimum(_correlations_with_target(unit, sample), 1)
    result = {
        "first_component_share": min(shares[-1], 1),
        "effective_rank": min(math.exp(_entropy(shares)) / n_columns, 1),
        "target_correlation_mean": with_target.mean(),
        "target_correlation_max": with_target.max(),
    }
    if n_columns > 1:
        pairs = np.minimum(np.abs(matrix[np.triu_indices(n_columns, k=1)]), 1)
        result |= {"correlation_mean": pairs.mean(), "correlation_max": pairs.max()}
    return result


def _correlations_with_target(unit: np.ndarray, sample: Sample) -> np.ndarray:
    """Return |Pearson correlation| for values; eta for classes: the root of the share of variance between them."""
    if not sample.n_classes:
        target = _deviations(sample.y[:, None])[:, 0]
        return np.abs(target @ unit) / np.sqrt(np.square(target).sum())
    indicators = sample.y[:, None] == np.unique(sample.y)
    sums = indicators.T.astype(np.float64) @ unit
    # Columns have mean 0 and sum of squares 1.
    return np.sqrt((np.square(sums) / indicators.sum(axis=0)[:, None]).sum(axis=0))


def _information(numbers: np.ndarray, moments: np.ndarray, codes: np.ndarray, sample: Sample) -> dict[str, float]:
    """Return the mutual information of binned columns and the (binned) target, corrected for the number of bins."""
    target = np.unique(sample.y, return_inverse=True)[1] if sample.n_classes else _quantile_bins(sample.y)
    n_target = int(target.max()) + 1
    target_entropy = _entropy(np.bincount(target))
    if target_entropy == 0:
        return {}
    shares = []
    measured = np.concatenate([numbers, moments], axis=1)
    for bins in (*map(_quantile_bins, measured.T), *map(_level_bins, codes.T)):
        joint = np.bincount(bins * n_target + target, minlength=(bins.max() + 1) * n_target)
        joint = joint.reshape(-1, n_target)
        of_bins, of_target = joint.sum(axis=1), joint.sum(axis=0)
        information = _entropy(of_bins) + target_entropy - _entropy(joint.ravel())
        # Miller and Madow's correction: independent columns have nearly 0 on average.
        freedom = (np.count_nonzero(of_bins) - 1) * (np.count_nonzero(of_target) - 1)
        shares.append(min(max((information - freedom / (2 * len(target))) / target_entropy, 0.0), 1.0))
    return {"information_mean": float(np.mean(shares)), "information_max": max(shares)} if shares else {}


def _quantile_bins(values: np.ndarray) -> np.ndarray:
    """Return the quantile bin of each value; missing values have the last bin."""
    ordered = np.sort(values)
    n_present = int(np.count_nonzero(~np.isnan(ordered)))
    quantiles = ordered[np.arange(1, _N_BINS) * n_present // _N_BINS] if n_present else ordered[:0]
    edges, times = np.unique(quantiles, return_counts=True)
    # A value that is several quantiles has its own bin; the values above it have the next one.
    edges = np.unique(np.append(edges, np.nextafter(edges[times > 1], np.inf)))
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _level_bins(codes: np.ndarray) -> np.ndarray:
    """Return the rank of each level by frequency, at most `_N_LEVELS` − 1; missing values are a level."""
    counts = np.bincount(codes + 1)
    ranks = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    return np.minimum(ranks, _N_LEVELS - 1)[codes + 1]


def _entropy(weights: np.ndarray) -> float:
    """Return the entropy in nats of weights that need not sum to 1."""
    weights = weights[weights > 0]
    shares = weights / weights.sum()
    return float(-(shares * np.log(shares)).sum())
