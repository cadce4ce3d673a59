"""Settings of Sphinx: `nox -s docs` builds the site."""

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import ebagx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from command_options import write_command_options  # noqa: E402
from other_projects import write_inventories  # noqa: E402
from parameter_table import write_parameter_table  # noqa: E402
from speed_tables import write_speed_tables  # noqa: E402

os.environ["MPLBACKEND"] = "agg"
RESULTS = HERE.parent / "bench/results"
write_speed_tables(RESULTS / "spr.json", HERE / "_generated")
write_command_options(HERE / "_generated")
write_parameter_table(HERE / "_generated")
intersphinx_mapping = write_inventories(HERE / "_generated")

project = "ebagx"
copyright = "the ebagx developers"
author = "The ebagx developers"
version = release = ebagx.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_generated"]
templates_path = ["_templates"]
default_role = "py:obj"  # `name` in docstrings: a link if there is such a thing, else code
add_function_parentheses = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.ref", "ref.term"]  # methods of scikit-learn refer to its pages

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types, with their shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "backreferences_dir": "_generated/backreferences",
    "doc_module": ("ebagx",),
    "reference_url": {"ebagx": None},
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "show_memory": False,
    "download_all_examples": False,
    "plot_gallery": True,
    "within_subsection_order": "gallery_order.GalleryOrder",
    "ignore_repr_types": r"Display|matplotlib",
    "image_srcset": ["2x"],
}

html_theme = "pydata_sphinx_theme"
html_title = "ebagx"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": f"ebagx {version}"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "install": [], "changelog": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def escape_trailing_underscores(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape names such as n_features_in_ in types of attributes, or they become links."""
    for i, line in enumerate(lines):
        if " : " in line:
            lines[i] = re.sub(r"(?<=[(, ])(\w+)_(?=[,)])", r"\1\\_", line)


def setup(app: Sphinx) -> None:
    """Register the function that escapes names."""
    app.connect("autodoc-process-docstring", escape_trailing_underscores, priority=0)
