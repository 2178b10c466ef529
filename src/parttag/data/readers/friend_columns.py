"""``data.columns.friends``: trees that hold more branches of the same entries."""

from pydantic import Field, model_validator

from parttag.options import Options, Texts


class FriendColumns(Options):
    """A tree whose branches are read as if they were those of the tree with the jets.

    Where both have a branch, that of the tree with the jets is meant.
    """

    files: Texts = ()
    """The files of the tree, as patterns; left out: the file of the jets itself."""
    tree: str | None = None
    """Its name; needed if a file has several, and none is named tree."""
    on: Texts = Field(default=())
    """Branches of both trees, of whole numbers, which are equal for the same entry (``[run,
    event]``); left out: both trees have the same entries in the same order."""

    @model_validator(mode="after")
    def _says_something(self) -> "FriendColumns":
        if not self.files and self.tree is None:
            raise ValueError("name the files of the friend, or its tree, or both")
        return self
