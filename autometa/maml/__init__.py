"""Gradient-based meta-learning in `torch.func`: what adapts to a new task from a few examples, and learns to.

A **meta-learner** adapts parameters to the support of a few-shot task; `meta_train` changes the parameters so that
it does this well on tasks to come.

=========================  ====================================================================================
`protocol`                 FewShotTask, Examples, the MetaLearner protocol
`networks`                 networks as pure functions of their parameters
`gradient`                 MAML, first-order MAML, ANIL, Meta-SGD
`reptile`                  Reptile
`prototypes`               Proto-MAML: heads that start from prototypes, for any number of classes
`matching`                 Matching Networks: attention over the support
`learned_optimiser`        an LSTM that makes the inner steps
`training`, `evaluation`   one outer loop for all of them; their losses on tasks to be judged on
`weights`                  what was learnt, in files without pickle
=========================  ====================================================================================

Importing the package loads no torch; its modules do.
"""
