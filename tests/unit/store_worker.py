"""What a worker makes of the tables that it is given."""

import hashlib
import pickle

from mtray.data.mixing import plan
from mtray.data.store import select, sums_of


def mix_of(given: bytes, study, recipe) -> tuple[str, str]:
    """The hash of a mix's examples, and its record."""
    store = pickle.loads(given)
    examples, mix = select(store, plan(recipe, study.sources, sums_of(study, store)), True)
    digest = hashlib.sha256()
    for ids, loss_from in examples:
        digest.update(ids.tobytes() + loss_from.to_bytes(4, "big"))
    return digest.hexdigest(), mix.model_dump_json()
