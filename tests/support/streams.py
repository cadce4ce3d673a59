"""Provide streams that behave as pipes and as files that change."""

import io


class Pieces(io.RawIOBase):
    """Return one piece in each read, as a pipe from a terminal does."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self.pieces.pop(0) if self.pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)
