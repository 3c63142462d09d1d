"""What comet itself gives, computed in the metrics interpreter by its own `predict` in one process
of its own: `python -I comet_itself.py FOLDER` (nothing of mtray is imported there).

FOLDER has triples.json and gets scores.json, and tiny-kiwi: a small untrained model that sees
source and hypothesis only, as CometKiwi.
"""

import json
import logging
import runpy
import shutil
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "mtray/embedded/weights/comet"
SEGMENTS = [  # (source, hypothesis, reference)
    ("I can't find my keys.", "No encuentro mis llaves.", "No encuentro mis llaves."),
    ("I can't find my keys.", "No encuentro mis zapatos.", "No encuentro mis llaves."),
    ("I can't find my keys.", "I can't find my keys.", "No encuentro mis llaves."),
    ("The weather was bad yesterday.", "Вчора була погана погода.", "Вчора була погана погода."),
    ("The weather was bad yesterday.", "Вчора була погода.", "Вчора була погана погода."),
    ("The weather was bad yesterday.", "Вона любить читати.", "Вчора була погана погода."),
    ("Ella compró un libro nuevo.", "She bought a new book.", "She bought a new book."),
    ("Ella compró un libro nuevo.", "She sold", "She bought a new book."),
]


def kiwi(out):
    """The untrained model, in the folder that comet reads."""
    import torch
    from comet.models import ReferencelessRegression

    save = runpy.run_path(str(ROOT / "mtray/embedded/comet_training.py"))["save"]
    shutil.copytree(EMBEDDED / "encoder", out / "encoder")
    torch.manual_seed(0)
    model = ReferencelessRegression(
        encoder_model="XLM-RoBERTa", pretrained_model=str(out / "encoder"),
        local_files_only=True, load_pretrained_weights=False, hidden_sizes=[16],
    )  # fmt: skip
    save(model, out, "referenceless_regression_metric")


def predicted(folder, copy, parts):
    """Scores of `SEGMENTS`, each triple once; the encoder's path is made absolute in a copy."""
    import yaml
    from comet import load_from_checkpoint

    shutil.copytree(folder, copy)
    hparams = yaml.safe_load((copy / "hparams.yaml").read_text())
    hparams["pretrained_model"] = str(copy / "encoder")
    (copy / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    model = load_from_checkpoint(str(copy / "checkpoints/model.ckpt"), True, local_files_only=True)
    names = ("src", "mt", "ref")[:parts]
    samples = [dict(zip(names, texts, strict=False)) for texts in SEGMENTS]
    options = {"batch_size": 64, "gpus": 0, "num_workers": 0, "progress_bar": False}
    return model.predict(samples, **options)["scores"]


def main(folder):
    warnings.simplefilter("ignore")
    import comet  # noqa: F401  # sets up logging

    logging.disable(logging.WARNING)
    kiwi(folder / "tiny-kiwi")
    found = {
        "embedded": predicted(EMBEDDED, folder / "copy", 3),
        "tiny-kiwi": predicted(folder / "tiny-kiwi", folder / "kiwi-copy", 2),
    }
    (folder / "scores.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
