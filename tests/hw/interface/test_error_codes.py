"""Error codes: each has a sentence, and those of regions and of the bus follow from their kinds."""

from __future__ import annotations

from fineq_hw.interface.error_codes import (
    ERROR_CODE_BITS,
    ERROR_TEXTS,
    MISALIGNED,
    OUTSIDE,
    OVERLAPPED,
    READ_FAULT,
    REGIONS,
    WRITE_FAULT,
    ErrorCode,
)


def test_every_error_code_has_one_sentence():
    assert list(ERROR_TEXTS) == list(ErrorCode)
    for code, text in ERROR_TEXTS.items():
        assert text.endswith(".") and text[0].isupper() and len(text) < 120, code
    assert len(set(ERROR_TEXTS.values())) == len(ERROR_TEXTS)


def test_codes_of_regions_and_of_the_bus():
    for number, region in enumerate(REGIONS):
        assert ErrorCode(MISALIGNED + number).name == f"{region.upper()}_MISALIGNED"
        assert ErrorCode(OUTSIDE + number).name == f"{region.upper()}_OUTSIDE"
        if region != "destination":
            assert ErrorCode(OVERLAPPED + number).name == f"{region.upper()}_OVERLAPPED"
    assert ErrorCode(READ_FAULT + 2) is ErrorCode.READ_SLAVE_ERROR
    assert ErrorCode(WRITE_FAULT + 3) is ErrorCode.WRITE_DECODE_ERROR


def test_codes_fit_their_field():
    assert max(ErrorCode) < 1 << ERROR_CODE_BITS
