"""Votes and fused boxes, against cases worked out by hand."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workspace import PROJECT, load

votes = load("tasks.classification.evaluation.voting")
fusion = load("inference.fusion")
UserError = load("shared.errors").UserError

WAYS = ("hard", "soft", "rank")

# One image, three classes. Two members prefer class 0 narrowly, the third class 1 by far.
SPLIT = np.array([[[0.50, 0.45, 0.05]], [[0.50, 0.45, 0.05]], [[0.05, 0.90, 0.05]]])


def members(classes: int = 4) -> st.SearchStrategy[np.ndarray]:
    """Probabilities of three to five members for two images."""
    weights = st.lists(st.integers(0, 20), min_size=classes, max_size=classes).filter(any)
    one = st.lists(weights, min_size=2, max_size=2)
    return st.lists(one, min_size=3, max_size=5).map(lambda rows: np.array(rows) / np.sum(rows, axis=2, keepdims=True))


def test_hard_voting_counts_first_places() -> None:
    scores = votes.vote(SPLIT, "hard")[0]
    assert scores.argmax() == 0
    assert scores[0] == pytest.approx(2 / 3, abs=1 / 6)


def test_soft_voting_averages() -> None:
    assert votes.vote(SPLIT, "soft")[0] == pytest.approx([0.35, 0.60, 0.05])


def test_rank_voting_counts_the_classes_below() -> None:
    # Points: 2 1 0, 2 1 0, and 0.5 2 0.5 where two classes are equal.
    scores = votes.rank(SPLIT)[0]
    assert scores == pytest.approx(np.array([4.5, 4.0, 0.5]) / 9, abs=0.02)
    assert scores.argmax() == 0


@pytest.mark.parametrize("voting", ["hard", "rank"])
def test_ties_go_to_the_higher_mean_probability(voting: str) -> None:
    # Each class is first, second and last once.
    tied = np.array([[[0.5, 0.3, 0.2]], [[0.1, 0.5, 0.4]], [[0.05, 0.02, 0.93]]])
    assert votes.vote(tied, voting).argmax() == tied.mean(axis=0).argmax() == 2


@pytest.mark.parametrize("voting", WAYS)
def test_full_ties_go_to_the_first_class(voting: str) -> None:
    assert votes.vote(np.full((3, 1, 4), 0.25), voting).argmax() == 0


@pytest.mark.parametrize("voting", ["hard", "rank"])
@given(members())
def test_the_mean_probability_only_decides_ties(voting: str, probabilities: np.ndarray) -> None:
    scores = votes.vote(probabilities, voting)
    exact = {"hard": first_places, "rank": borda}[voting](probabilities)
    for image in range(2):
        assert exact[image, scores[image].argmax()] == exact[image].max()


def first_places(probabilities: np.ndarray) -> np.ndarray:
    votes = np.zeros(probabilities.shape[1:])
    for member in probabilities:
        for image, row in enumerate(member):
            votes[image, list(row).index(max(row))] += 1
    return votes


def borda(probabilities: np.ndarray) -> np.ndarray:
    """Twice the points: two for each class below, one for each equal one."""
    below = (probabilities[..., :, None] > probabilities[..., None, :]).sum((0, 3))
    equal = (probabilities[..., :, None] == probabilities[..., None, :]).sum((0, 3)) - len(probabilities)
    return 2 * below + equal


@pytest.mark.parametrize("voting", WAYS)
@given(members())
def test_scores_are_a_distribution_and_blind_to_the_members_order(voting: str, probabilities: np.ndarray) -> None:
    scores = votes.vote(probabilities, voting)
    assert scores.min() >= 0
    assert scores.sum(axis=1) == pytest.approx(np.ones(2))
    assert votes.vote(probabilities[::-1], voting) == pytest.approx(scores)


@pytest.mark.parametrize("voting", WAYS)
def test_unanimous_members_are_followed(voting: str) -> None:
    one = np.random.default_rng(0).dirichlet(np.ones(5), size=20)
    assert (votes.vote(np.stack([one, one, one]), voting).argmax(1) == one.argmax(1)).all()


def test_fused_boxes() -> None:
    """Two members see one object, with an overlap of 100/120; the third sees another; a class is never mixed in."""
    first = np.array([[0.0, 0.0, 10.0, 10.0, 0.9, 1], [0.0, 0.0, 10.0, 10.0, 0.3, 2]])
    second = np.array([[0.0, 0.0, 10.0, 12.0, 0.6, 1]])
    third = np.array([[50.0, 50.0, 60.0, 60.0, 0.9, 1]])
    expected = [
        [0, 0, 10, (0.9 * 10 + 0.6 * 12) / 1.5, (0.9 + 0.6) / 2 * 2 / 3, 1],
        [50, 50, 60, 60, 0.9 / 3, 1],
        [0, 0, 10, 10, 0.3 / 3, 2],
    ]
    assert fusion.fuse_boxes([first, second, third]) == pytest.approx(np.array(expected))


def test_agreement_keeps_the_score_and_more_boxes_than_members_do_not_raise_it() -> None:
    box = np.array([[0.1, 0.1, 0.5, 0.5, 0.8, 0]])
    assert fusion.fuse_boxes([box, box, box]) == pytest.approx(box)
    assert fusion.fuse_boxes([np.vstack([box, box]), box, box]) == pytest.approx(box)


def test_a_box_joins_the_fused_box_that_it_overlaps_most() -> None:
    left = np.array([[0.0, 0.0, 10.0, 10.0, 0.9, 0]])
    right = np.array([[4.0, 0.0, 14.0, 10.0, 0.8, 0]])  # 60/140 of left: another object
    near = np.array([[3.0, 0.0, 13.0, 10.0, 0.7, 0]])  # 90/110 of right, 70/130 of left
    fused = fusion.fuse_boxes([left, right, near], iou=0.5)
    assert fused[:, 0] == pytest.approx([(0.8 * 4 + 0.7 * 3) / 1.5, 0])


def test_nothing_found_is_nothing_fused() -> None:
    nothing = np.zeros((0, 6))
    assert fusion.fuse_boxes([nothing, nothing, nothing]).shape == (0, 6)


def test_two_members_are_no_ensemble() -> None:
    with pytest.raises(UserError, match="names 2 models.*at least 3"):
        votes.vote(SPLIT[:2], "soft")
    with pytest.raises(UserError, match="at least 3"):
        fusion.fuse_boxes([np.zeros((0, 6))] * 2)


def test_ensembles_have_as_many_members_in_the_contract_as_in_the_stage() -> None:
    said = yaml.safe_load((PROJECT / "lab.yaml").read_text())["model_keys"]["least"]
    assert said == load("inference.ensemble").LEAST_MEMBERS


def test_an_unknown_way_of_voting_names_the_nearest() -> None:
    with pytest.raises(UserError, match="hard, soft, rank. Did you mean 'hard'"):
        votes.vote(SPLIT, "harde")
