from processors.words import coverage, normal, stems, weigh


def test_spellings_of_one_number_are_equal() -> None:
    assert normal("1,302") == normal("1302") == normal("1302.0")
    assert normal("13.02") != normal("1302")


def test_little_words_and_endings_do_not_count() -> None:
    assert stems("When were the towers built?") == stems("tower BUILT")


def test_rare_words_weigh_more_than_common_ones() -> None:
    weights = weigh("tower refund", [stems("tower"), stems("tower of soup"), stems("tower refund")])
    assert weights["refund"] > weights["tower"]
    assert abs(sum(weights.values()) - 1) < 1e-9


def test_coverage_is_the_share_of_the_question_that_is_there() -> None:
    weights = weigh("tower refund", [])
    assert coverage(weights, stems("the refund of towers")) == 1
    assert coverage(weights, stems("nothing")) == 0
    assert 0 < coverage(weights, stems("tower")) < 1


def test_a_question_without_words_covers_nothing() -> None:
    assert coverage(weigh("\U0001f600 is it?", [stems("tower")]), stems("tower")) == 0
