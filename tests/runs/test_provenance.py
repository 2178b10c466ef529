import subprocess

import parttag
from parttag.runs.provenance import commit


def test_the_commit_is_that_of_parttags_own_checkout_or_none(tmp_path, monkeypatch):
    package = tmp_path / "src" / "parttag"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(parttag, "__file__", str(package / "__init__.py"))
    assert commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert commit() is None  # nothing committed yet
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "one"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert commit() == head.stdout.strip()
    (package / "__init__.py").write_text("changed")
    assert commit() == head.stdout.strip() + "-dirty"
