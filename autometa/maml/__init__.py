"""Gradient-based meta-learning in `torch.func`: MAML and other methods that learn to adapt to tasks of few examples.

A **meta-learner** adapts parameters to the support of a few-shot task; `meta_train` changes the parameters so that
it adapts well to new tasks.

=========================  ====================================================================================
`protocol`                 FewShotTask, Examples
`meta_learner`             MetaLearner, the interface of all methods
`networks`                 networks as pure functions of their parameters
`gradient`                 MAML, first-order MAML, ANIL, Meta-SGD
`reptile`                  Reptile
`prototypes`               Proto-MAML: heads that start from prototypes, for any number of classes
`matching`                 Matching Networks: attention over the support
`learned_optimiser`        an LSTM that makes the inner steps
`training`, `evaluation`   one outer loop for all of them; their losses on new tasks
`weights`                  files of meta-learned parameters without pickle
=========================  ====================================================================================

Importing the package loads no torch; its modules do.
"""
