"""Order the examples from first steps to details."""

from pathlib import Path

ORDER = (
    "plot_text_classification.py",
    "plot_language_identification.py",
    "plot_embedding_map.py",
    "plot_word_contributions.py",
    "plot_sentence_embeddings.py",
    "plot_small_models.py",
    "plot_random_projection.py",
    "plot_recommender.py",
    "plot_cold_items.py",
    "plot_factorization.py",
    "plot_columns.py",
    "plot_collection.py",
    "plot_optimizers.py",
    "plot_touched_rows.py",
    "plot_memory_map.py",
)


class GalleryOrder:
    """A sort key for Sphinx-Gallery, which makes it for a folder and calls it with file names."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, name: str) -> int:
        """Return the place of an example; a name that is not in `ORDER` is an error."""
        return ORDER.index(Path(name).name)

    def __repr__(self) -> str:
        return "<GalleryOrder>"
