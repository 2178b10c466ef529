"""``python -m parttag.cli``, which is also how torchrun starts it."""

from parttag.cli import main

if __name__ == "__main__":
    main()
