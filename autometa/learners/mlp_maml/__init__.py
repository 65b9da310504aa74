"""A network that starts from meta-learned weights and a fitted head.

In the order of a fit:

============= ==============================================================================================
`learner`     the learner: what it starts from, its training by epochs, and the models that predict together
`starts`      meta-learned weights of the shared network, read from files
`first_epoch` projection and heads fitted to one table within the time that a fit has
`projection`  a table of any number of columns as a fixed number of slots
`network`     slots to features to outputs, and the gradients
`heads`       linear models of the features, fitted in closed form or in a few steps
`adam`        the optimiser of the later epochs
============= ==============================================================================================

`autometa.metalearning.training.start_training` makes the weights that the network starts from.
"""
