"""spBLEU: sacrebleu's BLEU over SentencePiece pieces, whose model sacrebleu downloads when it is
first used (Goyal et al. 2022 for FLORES-101, NLLB team 2022 for FLORES-200)."""

from __future__ import annotations

import functools
from typing import Any

from mtray.compat.sacrebleu import piece_model
from mtray.data.readers.reachability import short_timeouts, why_unreachable
from mtray.errors import ModelError


@functools.cache
def spm_bleu(tokenizer: str) -> Any:
    """sacrebleu's BLEU with that tokenizer, made once per process. ModelError naming the file, its
    source and its place when the model cannot be had."""
    from sacrebleu.metrics import BLEU

    file, url = piece_model(tokenizer)
    there = file.is_file()
    cause = None if there else why_unreachable(url)
    if cause is None:
        try:
            with short_timeouts():
                return BLEU(tokenize=tokenizer)
        # whatever a download cut short or a file of another kind makes sacrebleu stumble over
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            if not there:
                file.unlink(missing_ok=True)  # half a file would be taken for the model next time
    if there:
        raise ModelError(
            f"spBLEU: {file} is not a SentencePiece model ({cause}); put {url} in its place"
        )
    raise ModelError(
        f"spBLEU needs the SentencePiece model {file}, which cannot be downloaded ({cause}); fetch "
        f"{url} where there is a network and save it under that name, or drop the metric"
    )
