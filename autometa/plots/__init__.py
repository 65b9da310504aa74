"""Draws figures of fitted models and of a meta-dataset; needs matplotlib, which the extra ``plots`` installs.

Every function draws into the given axes, or into a new figure that pyplot does not manage, and returns the axes.
``plot_search(model).figure.savefig("search.png")`` writes a file; as the last line of a notebook cell,
``plot_search(model).figure`` shows the figure.
"""

from autometa.plots.models import (
    plot_confusion_matrix,
    plot_ensemble_weights,
    plot_importances,
    plot_interval_coverage,
    plot_precision_recall_curves,
    plot_predictions,
    plot_reliability,
    plot_residuals,
    plot_roc_curves,
    plot_search,
)
from autometa.plots.records import (
    LOSS_LABELS,
    plot_cost_by_rows,
    plot_learning_curves,
    plot_strategies_by_tasks,
)

__all__ = [
    "LOSS_LABELS",
    "plot_confusion_matrix",
    "plot_cost_by_rows",
    "plot_ensemble_weights",
    "plot_importances",
    "plot_interval_coverage",
    "plot_learning_curves",
    "plot_precision_recall_curves",
    "plot_predictions",
    "plot_reliability",
    "plot_residuals",
    "plot_roc_curves",
    "plot_search",
    "plot_strategies_by_tasks",
]
