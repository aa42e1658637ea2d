import pytest

from chatproxy.documents.parts import MOST_RANGES, without_text


@pytest.mark.parametrize(
    ("numbers", "begin"),
    [
        ([2], "Page 2 holds pictures only"),
        ([2, 3], "Pages 2-3 hold"),
        ([1, 3], "Pages 1 and 3 hold"),
        ([1, 3, 5, 6, 7], "Pages 1, 3 and 5-7 hold"),
        ([*range(1, 100, 2)], f"Pages 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37,"
         f" 39 and {50 - MOST_RANGES} more hold"),
    ],
)  # fmt: skip
def test_pages_without_text(numbers: list[int], begin: str) -> None:
    remark = without_text(numbers)
    assert remark.code == "partial"
    assert remark.message.startswith(begin)
    assert without_text([4], "slide").message.startswith("Slide 4 holds")
