"""spBLEU: sacrebleu's BLEU over SentencePiece pieces; sacrebleu downloads the model at first use
(Goyal et al. 2022 for FLORES-101, NLLB team 2022 for FLORES-200)."""

from __future__ import annotations

import functools
from typing import Any

from mtray.compat.sacrebleu import piece_model
from mtray.data.readers.reachability import short_timeouts, why_unreachable
from mtray.errors import ModelError


@functools.cache
def spm_bleu(tokenizer: str) -> Any:
    """sacrebleu's BLEU with that tokenizer, created once per process. Raises ModelError naming the
    file, its source and its path if the model is not available."""
    from sacrebleu.metrics import BLEU

    file, url = piece_model(tokenizer)
    there = file.is_file()
    cause = None if there else why_unreachable(url)
    if cause is None:
        try:
            with short_timeouts():
                return BLEU(tokenize=tokenizer)
        # sacrebleu may raise anything for a truncated download or a file of another kind
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            if not there:
                file.unlink(missing_ok=True)  # a partial file would be used as the model next time
    if there:
        raise ModelError(
            f"spBLEU: {file} is not a SentencePiece model ({cause}); put {url} in its place"
        )
    raise ModelError(
        f"spBLEU needs the SentencePiece model {file}, which cannot be downloaded ({cause}); fetch "
        f"{url} where there is a network and save it under that name, or drop the metric"
    )
