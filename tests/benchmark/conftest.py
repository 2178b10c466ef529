import pytest
from matplotlib.figure import Figure


@pytest.fixture(autouse=True, scope="module")
def _quick_pictures():
    """Let pictures be made, but not drawn: hundreds of points take a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG" * 50))
        yield
