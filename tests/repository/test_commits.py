"""Subjects of commits fit into 72 characters, since the commit that introduced this rule."""

from __future__ import annotations

import pytest

from .tracked import git

BEFORE_THE_RULE = "64c4768"
MAX_SUBJECT_CHARACTERS = 72


def test_commit_subjects_have_at_most_72_characters() -> None:
    logged = git("log", "--no-merges", "--format=%h %s", f"{BEFORE_THE_RULE}..HEAD")
    if logged is None:
        pytest.skip(f"no git history back to {BEFORE_THE_RULE}: a source distribution or a shallow clone")
    subjects = [line.partition(" ") for line in logged.splitlines()]
    long = [f"{commit} {subject}" for commit, _, subject in subjects if len(subject) > MAX_SUBJECT_CHARACTERS]
    assert not long, "\n".join(long)
