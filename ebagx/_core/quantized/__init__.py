"""Quantised tables: rows of codes of 8, 4 or 2 bits, with a scale and a bias.

=========  =====================================================================
formats    `RowFormat`: the bytes of a row, in the formats of several tools
packed     `PackedRows`: rows of codes, and their values
rounding   rows of float become rows of codes
table      `CodeTable`: packed rows as a `Table` for the passes
file       packed rows in a file
=========  =====================================================================

A table's value is ``float32(float32(scale * code) + bias)``, and pooled bags have the bits that the
float32 table of all values gives.
"""
