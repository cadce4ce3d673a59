"""The training core, on which estimators, the command line and text models run.

==========  =====================================================================
loop        passes over shuffled batches, and the choice of the model that is kept
steps       the steps of a pass: arrays and numbers for the kernel `train_batches`
examples    bags with their targets
bags        matrices as bags, scaled for a mode
growth      arrays and optimizers of a model that gets new rows
network     the model: a table, perhaps a hidden layer, and a linear head
losses      losses of the scores of bags
pairs       users and items with their bags, and the two tables of a recommender
pair_steps  the steps of a pass over pairs: arrays and numbers for the kernel `train_pairs`
optimizers  optimizers and schedules that estimators know by name
==========  =====================================================================
"""
