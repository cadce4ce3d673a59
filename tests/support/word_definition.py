"""Define words by rule 2 in plain Python; ``ebagx/text/boundaries.pxi`` must give the same."""

import unicodedata

APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
BETWEEN_LETTERS = APOSTROPHES + "\N{MIDDLE DOT}\N{HEBREW PUNCTUATION GERSHAYIM}"
BETWEEN_DIGITS = APOSTROPHES + ".,\N{ARABIC DECIMAL SEPARATOR}\N{ARABIC THOUSANDS SEPARATOR}"
JOINER = "\N{ZERO WIDTH JOINER}"


def is_within(char, first, last):
    return first <= ord(char) <= last


def is_mark(char):
    skin_tone = is_within(char, 0x1F3FB, 0x1F3FF)
    return skin_tone or unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf")


def is_regional(char):
    return is_within(char, 0x1F1E6, 0x1F1FF)


def is_ideograph(char):
    hiragana = is_within(char, 0x3041, 0x309F)
    ideographic = (
        is_within(char, 0x3005, 0x3007)
        or is_within(char, 0x3400, 0x4DBF)
        or is_within(char, 0x4E00, 0x9FFF)
        or is_within(char, 0xF900, 0xFAFF)
        or is_within(char, 0x20000, 0x3FFFD)
    )
    return (hiragana or ideographic) and unicodedata.category(char) in ("Lo", "Lm", "Nl", "Cn")


def is_picture(char):
    blocks = (0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF)
    return (
        any(is_within(char, *block) for block in blocks)
        and unicodedata.category(char) in ("So", "Cn")
        and not is_regional(char)
    )


def is_letter(char):
    """Return whether a character is a letter or a number other than a digit."""
    category = unicodedata.category(char)
    is_other = is_ideograph(char) or is_picture(char)
    return (category[0] == "L" or category in ("Nl", "No", "Pc", "Cn")) and not is_other


def is_digit(char):
    return unicodedata.category(char) == "Nd"


def is_symbol(char):
    category = unicodedata.category(char)
    is_other = is_regional(char) or is_picture(char) or is_mark(char)
    return char in "#%&@" or ((category[0] == "S" or category == "Co") and not is_other)


def past(text, i, kind):
    while i < len(text) and kind(text[i]):
        i += 1
    return i


def joins(text, base, i):
    """Return whether the character `i` keeps the one after it in the word of `base`."""
    if i + 1 >= len(text):
        return False
    letters = is_letter(base) and is_letter(text[i + 1]) and text[i] in BETWEEN_LETTERS
    digits = is_digit(base) and is_digit(text[i + 1]) and text[i] in BETWEEN_DIGITS
    return letters or digits


def end_of_letters(text, i):
    while i < len(text):
        if is_letter(text[i]) or is_digit(text[i]):
            base = text[i]
        elif not is_mark(text[i]) and not joins(text, base, i):
            break
        i += 1
    return i


def end_of_picture(text, i):
    i = past(text, i + 1, is_mark)
    while text[i - 1] == JOINER and i < len(text) and is_picture(text[i]):
        i = past(text, i + 1, is_mark)
    return i


def end_of_word(text, i):
    """Return the end of the word that starts at `i`, or `i` if none does."""
    char = text[i]
    if is_letter(char) or is_digit(char):
        return end_of_letters(text, i)
    if is_picture(char):
        return end_of_picture(text, i)
    if is_ideograph(char):
        return past(text, i + 1, is_mark)
    if is_regional(char):
        is_pair = is_regional(text[i + 1 : i + 2] or " ")
        return past(text, i + 1 + is_pair, is_mark)
    if is_symbol(char):
        return past(text, i, lambda char: is_symbol(char) or is_mark(char))
    return i


def words_of(text, lowercase=True):
    text = unicodedata.normalize("NFC", text.lower() if lowercase else text)
    words, i = [], 0
    while i < len(text):
        end = end_of_word(text, i)
        if end > i:
            words.append(text[i:end])
        i = max(end, i + 1)
    return words
