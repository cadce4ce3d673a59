"""The training core, on which estimators, the command line and text models run.

==========  =====================================================================
passes      optimizers, random numbers and the end of what is trained in passes
learning    trainings of a table and layers on examples, of any model
pooled      the same for pooled embeddings and layers, labels the same for labels
loop        passes over shuffled batches, and the choice of the model that is kept
steps       the steps of a pass: arrays and numbers for the kernel `train_batches`
examples    bags with their targets
bags        matrices as bags, scaled for a mode
groups      columns that are pooled apart: a row of a matrix is a bag for each group
growth      arrays and optimizers of a model that gets new rows
factorization  scores of factorization machines
network     the model: a table, perhaps a hidden layer, and a linear head
losses      losses of the scores of bags
pair_draws  items with which one loss of a recommender compares the pairs of a batch
pairs       users and items with their bags, and the two tables of a recommender
pair_parts  arrays for the lookups of a table in a batch, which threads share by its rows
pair_steps  the steps of a pass over pairs: arrays and numbers for the kernel `train_pairs`
snapshots   copies of weights and of the state of optimizers, to go back to
optimizers  optimizers and schedules that estimators know by name
==========  =====================================================================
"""
