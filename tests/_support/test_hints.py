from __future__ import annotations

from autometa._support.hints import did_you_mean


def test_close_names_are_suggested_and_others_are_not():
    assert did_you_mean("gausian", ["gaussian", "prior"]) == " Did you mean 'gaussian'?"
    assert did_you_mean("xyz", ["gaussian", "prior"]) == ""


def test_several_names_are_joined_and_the_form_can_be_chosen():
    assert did_you_mean("loss", ["losses", "losss", "other"], n=2, form="{} perhaps") == "'losss' or 'losses' perhaps"
