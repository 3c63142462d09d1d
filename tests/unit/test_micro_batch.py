"""How many tokens a micro-batch has, by the vocabulary and the memory that there is."""

from types import SimpleNamespace

import pytest

from mtray.runtime import LOGITS_AT_ONCE
from mtray.training import step
from mtray.training.worker import ProcessGroup

GIB = 1 << 30


def model(vocabulary):
    config = SimpleNamespace(vocab_size=vocabulary)
    return SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))


@pytest.mark.parametrize(
    "vocabulary, free, tokens",
    [
        (262_144, None, 1024),  # on a CPU
        (8_000, None, 4096),
        (262_144, 64 * GIB, 4096),
        (262_144, 127 * GIB, 4096),
        (262_144, 32 * GIB, 2048),
        (262_144, 31 * GIB, 1024),
        (262_144, 16 * GIB, 1024),
        (262_144, 8 * GIB, 512),
        (262_144, 1, 64),  # at least 2^24 logits
        (8_000, 8 * GIB, 4096),
    ],
)
def test_the_logits_take_a_quarter_of_the_free_memory(vocabulary, free, tokens):
    assert step.micro_batch_tokens(model(vocabulary), None, free=free) == tokens
    assert step.micro_batch_tokens(model(vocabulary), None, 0.5, free) == tokens // 2
    assert step.micro_batch_tokens(model(vocabulary), 100, free=free) == 100, "as the study says"


def test_on_a_cpu_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    group = ProcessGroup(agree=lambda flag: pytest.fail("a collective for nothing"))
    assert step.free_on_all(1000, group) is None
    assert step.logits_at_once(None) == LOGITS_AT_ONCE


@pytest.mark.parametrize(
    "others, mine, expected",
    [([], 40, 32), ([64], 40, 32), ([9], 40, 8), ([9, 100], 40, 8), ([], 64.5, 64)],
)
def test_all_workers_plan_with_the_least_free_memory(monkeypatch, others, mine, expected):
    """In GiB; with what torch keeps of freed memory, without what training will still take."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 3 * GIB)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda: 1 * GIB)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (int((mine - 1.5) * GIB), 99 * GIB))
    asked = []

    def agree(flag):
        """Each other worker asks with its own memory."""
        exponent = step.FEWEST + len(asked)
        asked.append(flag)
        return flag or any(other * GIB < 1 << (exponent + 1) for other in others)

    trainable = GIB // 2 // step.STATE_BYTES
    assert step.free_on_all(trainable, ProcessGroup(agree=agree)) == expected * GIB
