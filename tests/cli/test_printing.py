from __future__ import annotations

import pandas as pd

from autometa.cli.printing import aligned


def test_numbers_are_aligned_to_the_right_and_text_to_the_left():
    table = pd.DataFrame(
        {
            "trial": [0, 10],
            "strategy": ["ridge", "xgboost"],
            "loss": [0.123456789, None],
            "seconds": [1.0, 22.22],
            "configuration": [{"alpha": 0.5, "n": 3}, {}],
        }
    )
    assert aligned(table, "configuration").splitlines() == [
        "trial  strategy     loss  seconds  configuration",
        "    0  ridge     0.12346      1.0  alpha=0.5, n=3",
        "   10  xgboost         –     22.2",
    ]


def test_a_long_configuration_is_shortened():
    (_, row) = aligned(pd.DataFrame({"configuration": ["x" * 100]}), "configuration").splitlines()
    assert row == "x" * 69 + "…"
