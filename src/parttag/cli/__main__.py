"""``python -m parttag.cli``, which is also how ranks are started."""

from parttag.api.ranks import end_with_parent

if __name__ == "__main__":
    end_with_parent()  # before the rest is imported, which takes seconds

    from parttag.cli import main

    main()
