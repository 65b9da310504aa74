import optuna
import optunahub


def objective(trial, best=0.3):
    x = trial.suggest_float("x", 0, 1)
    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    return (x - best) ** 2 + 0.1 * abs(rate - 0.01)


old = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
old.optimize(lambda trial: objective(trial, best=0.35), n_trials=40)

module = optunahub.load_module(package="samplers/autometa_sampler")
study = optuna.create_study(sampler=module.MetaSampler([old], seed=0))
study.optimize(objective, n_trials=10)
print(study.best_value)
