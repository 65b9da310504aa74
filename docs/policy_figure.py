"""Draw docs/how-it-decides.svg: what the default policy thinks of a table before anything is fitted.

python docs/policy_figure.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

from autometa.catalogue import load_strategies
from autometa.core.evaluation import Evaluation
from autometa.fit_inputs import read_inputs
from autometa.fitting import available_strategies, describe_task
from autometa.policy.registry import DEFAULT_POLICY, make_policy, policy_in_time

SECONDS = 60.0
N_NAMED = 5
OUT = Path(__file__).with_name("how-it-decides.svg")


def main() -> None:
    """Draw chances of strategies on the left, gain over seconds of configurations on the right."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    inputs = read_inputs(X, y, problem="auto", metric="auto")
    strategies, _ = available_strategies(load_strategies(None), inputs.task)
    name = policy_in_time(DEFAULT_POLICY, SECONDS)
    policy = make_policy(name, strategies)
    task = describe_task(inputs.task, inputs.metric, name)
    proposal = policy.propose(task, (), SECONDS)
    expected = policy.explain(task, (), SECONDS)
    # The order in which configurations would start if none of them had ended yet.
    first = []
    for _ in range(N_NAMED):
        running = [Evaluation.running(configuration) for configuration in first]
        first.append(policy.propose(task, running, SECONDS).configurations[0])

    plt.rcParams |= {"svg.hashsalt": "autometa", "svg.fonttype": "none", "font.size": 9}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    ranked = sorted(proposal.probabilities.items(), key=lambda item: item[1])
    left.barh([name for name, _ in ranked], [chance for _, chance in ranked], color="#4c72b0")
    left.axvline(1 / len(ranked), color="grey", linestyle=":", label="equal chances")
    left.set(xlabel="chance of being the best", title="Which strategy?")
    left.legend(frameon=False, loc="lower right")
    right.scatter(
        [p.trial_s for p in expected.values()], [p.gain for p in expected.values()], s=14, color="#bbbbbb", zorder=1
    )
    for number, configuration in enumerate(first, start=1):
        prediction = expected[configuration]
        label = f"{number} {configuration.strategy}"
        right.scatter(prediction.trial_s, prediction.gain, s=90, color="#c44e52", label=label, zorder=2)
        right.text(
            prediction.trial_s, prediction.gain, str(number), color="white", ha="center", va="center", fontsize=7
        )
    right.legend(frameon=False, loc="lower right", title="the first five")
    right.set(xscale="log", xlabel="seconds of a trial", ylabel="expected gain", title="Which configuration first?")
    figure.savefig(OUT, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
