"""Size of reports, and how long a browser takes until one can use them.

python scripts/measure_report.py runs/first/evaluation/report.html ... needs Chromium.

A copy of each page says in the console when it begins and when its pictures are there; the time of
the lines is the clock's.
"""

import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TRIES = 3


def speaking(page: str) -> str:
    """Return the page with words in the console, which its own policy would not allow."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page, count=1)
    page = page.replace("<head>", '<head><script>console.log("mark begin")</script>', 1)
    for name in ("ready", "done"):
        place = f"document.documentElement.dataset.{name} ="
        assert page.count(place) == 1, name
        page = page.replace(place, f'console.log("mark {name}"); {place}')
    return page


def opened(browser: str, path: Path) -> tuple[float, float, int]:
    """Return after how many s what is in sight is drawn, and all; and lines of the page itself."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(speaking(path.read_text(encoding="utf-8")), encoding="utf-8")
        call = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        call += ["--virtual-time-budget=60000", f"--user-data-dir={folder}/profile", "--dump-dom"]
        done = subprocess.run([*call, copy.as_uri()], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    times = {}
    for line in lines:
        found = re.search(r':(\d{4}/\d{6}\.\d+):.*"mark (\w+)"', line)
        if found:
            times[found[2]] = datetime.strptime(found[1], "%m%d/%H%M%S.%f")
    ready, drawn = ((times[n] - times["begin"]).total_seconds() for n in ("ready", "done"))
    return ready, drawn, len(lines) - len(times)


def main() -> None:
    """Print a line for each page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    print("| page | MB | pictures in sight [s] | all pictures [s] | lines in the console |")
    print("|---|---|---|---|---|")
    for path in map(Path, sys.argv[1:]):
        ready, drawn, console = min(opened(browser, path.resolve()) for _ in range(TRIES))
        size = path.stat().st_size / 1e6
        print(f"| {path.name} | {size:.2f} | {ready:.1f} | {drawn:.1f} | {console} |")


if __name__ == "__main__":
    main()
