"""The tests are tested: every seeded error turns one of them red."""

import pytest

from tests import mutations


@pytest.mark.slow
def test_every_seeded_error_turns_a_test_red(capsys):
    status = mutations.main()
    print(capsys.readouterr().out)
    assert status == 0


def test_a_mutation_that_no_longer_matches_is_an_error_that_names_it(tmp_path):
    (tmp_path / "vaejax").mkdir()
    (tmp_path / "vaejax" / "rates.py").write_text("a a")
    stale = mutations.Mutation("stale", "rates.py", "b", "c", "test_rates.py")
    with pytest.raises(ValueError, match=r"stale.*rates\.py.*0 times"):
        mutations.seed(stale, tmp_path)
    with pytest.raises(ValueError, match="2 times"):
        mutations.seed(stale._replace(old="a"), tmp_path)
