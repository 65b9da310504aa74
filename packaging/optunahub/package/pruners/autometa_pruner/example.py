import math
import random

import optuna
import optunahub


def objective(trial):
    rate = trial.suggest_float("rate", 0.01, 1.0, log=True)
    best = random.Random(trial.number).uniform(0.2, 0.3) + abs(math.log(rate / 0.1)) / 4
    for step in range(20):
        loss = best + math.exp(-step * rate)
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss


module = optunahub.load_module(package="pruners/autometa_pruner")
archive = module.StudyArchive()
for seed in range(3):
    old = optuna.create_study(study_name=f"old-{seed}", sampler=optuna.samplers.RandomSampler(seed=seed))
    old.optimize(objective, n_trials=60)
    archive.add(old)

study = optuna.create_study(pruner=module.MetaPruner(archive, rate=0.2))
study.optimize(objective, n_trials=40)
print(study.best_value, sum(len(trial.intermediate_values) for trial in study.trials), "of", 40 * 20, "steps")
