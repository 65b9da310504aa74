"""Small tasks to test meta-learners on."""

from __future__ import annotations

import numpy as np
import torch

from autometa.maml.protocol import Examples, FewShotTask


def sinusoids(rng: np.random.Generator, n_tasks: int = 5, n_support: int = 5, n_query: int = 5) -> FewShotTask:
    """Return stacked regressions of sines with their own amplitudes and phases."""
    amplitude, phase = rng.uniform(0.1, 5.0, (n_tasks, 1)), rng.uniform(0.0, np.pi, (n_tasks, 1))
    x = rng.uniform(-5.0, 5.0, (n_tasks, n_support + n_query))
    y = amplitude * np.sin(x - phase)
    inputs, targets = torch.from_numpy(x[..., None]).float(), torch.from_numpy(y).float()
    return FewShotTask(
        Examples(inputs[:, :n_support], targets[:, :n_support]), Examples(inputs[:, n_support:], targets[:, n_support:])
    )


def blobs(
    rng: np.random.Generator, n_tasks: int = 4, n_classes: int = 3, n_shots: int = 2, n_inputs: int = 4
) -> FewShotTask:
    """Return stacked classifications of normal clouds, each class with `n_shots` rows in support and in query."""
    centres = rng.normal(size=(n_tasks, n_classes, 1, n_inputs)) * 3
    x = centres + rng.normal(size=(n_tasks, n_classes, 2 * n_shots, n_inputs))
    codes = np.broadcast_to(np.arange(n_classes)[:, None], (n_tasks, n_classes, n_shots)).reshape(n_tasks, -1)
    targets = torch.from_numpy(codes.copy())
    support, query = (
        torch.from_numpy(part.reshape(n_tasks, -1, n_inputs)).float() for part in (x[:, :, :n_shots], x[:, :, n_shots:])
    )
    return FewShotTask(Examples(support, targets, n_classes), Examples(query, targets, n_classes))


def double(task: FewShotTask) -> FewShotTask:
    """Return a task in double precision, for comparison with finite differences."""
    support, query = (
        part.with_parts(tuple(t.double() if t.is_floating_point() else t for t in part.parts()))
        for part in (task.support, task.query)
    )
    return FewShotTask(support, query)


def one_of(tasks: FewShotTask, index: int) -> FewShotTask:
    """Return one of stacked tasks."""
    support, query = (part.with_parts(tuple(t[index] for t in part.parts())) for part in (tasks.support, tasks.query))
    return FewShotTask(support, query)
