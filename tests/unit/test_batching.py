"""Which worker computes which batch."""

from mtray.evaluation.inference.batching import Batch, by_length, share_of, shares


def test_the_costliest_go_first_to_whom_has_least():
    # 9 -> 0; 7 -> 1; 6 -> 1 (7 < 9), now 13; 5 -> 0, now 14; 2 -> 1 (13 < 14)
    assert shares([5, 9, 2, 6, 7], 2) == [[0, 1], [2, 3, 4]]
    assert shares([4, 4, 4], 1) == [[0, 1, 2]]
    assert shares([3], 3) == [[0], [], []]
    assert shares([], 2) == [[], []]


def cut_of(lengths, made):
    def cut(max_tokens):
        made.append(max_tokens)
        jobs = [(i, [1] * n, n) for i, n in enumerate(lengths)]
        return [
            Batch(lambda _: {}, len(b), sum(len(ids) for _, ids, _ in b))
            for b in by_length(jobs, max_tokens)
        ]

    return cut


def test_batches_are_halved_only_where_a_worker_would_wait():
    made = []
    alone = share_of(cut_of([10] * 12, made), 60, 0, 1)
    assert made == [60]
    assert [b.requests for b in alone] == [6, 6]
    made.clear()
    parts = [share_of(cut_of([10] * 12, made), 60, rank, 2) for rank in (0, 1)]
    assert made == [60, 60], "two batches for two workers are even"
    assert [[b.requests for b in part] for part in parts] == [[6], [6]]
    made.clear()
    # batches of 6, 6, 6 leave 12 to 6; of 3 each, six of them, nine to nine
    parts = [share_of(cut_of([10] * 18, made), 60, rank, 2) for rank in (0, 1)]
    assert made == [60, 30, 60, 30]
    assert [sum(b.requests for b in part) for part in parts] == [9, 9]


def test_a_single_request_cannot_be_shared_out():
    made = []
    parts = [share_of(cut_of([10], made), 60, rank, 2) for rank in (0, 1)]
    assert sorted(map(len, parts)) == [0, 1]
    assert len(made) < 14
