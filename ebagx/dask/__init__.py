"""Training and prediction on more than one machine, with Dask.

==========  =====================================================================
_estimate   the cost of a pass, by a model
_text       texts in collections of Dask become matrices
_vocabulary the words of a collection, counted in each partition and merged
==========  =====================================================================
"""

from ebagx.dask._estimate import Estimate, estimate
from ebagx.dask._text import DaskTextVectorizer, vectorize

__all__ = ["DaskTextVectorizer", "Estimate", "estimate", "vectorize"]
