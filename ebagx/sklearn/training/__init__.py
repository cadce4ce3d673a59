"""Training: how the estimators learn.

========  =====================================================================
loop      passes over shuffled batches, and which of their models is kept
batches   mini-batches, and the rows of the table that each touches
network   the model: a table, perhaps a hidden layer, and a linear head
losses    what a bag's scores cost, and the gradient of that
========  =====================================================================
"""
