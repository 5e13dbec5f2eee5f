"""Git beside a sync: the rig's repository learns the laptop's commits, so that a later `git pull` there is clean.

Copying files without `.git` leaves a repository on the rig in which everything looks changed by hand, and `git pull`
refuses to overwrite it. Copying `.git` file by file breaks it when either side commits meanwhile. So commits travel by
git: the laptop pushes its HEAD to a ref of ours, and the rig's branch and index (never its files, which rsync brings)
move to it when that is a fast-forward. Commits made on the rig are never touched: then nothing moves, and it is said.
"""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from rigstack import process
from rigstack.laptop.rigs import Target

REF = "refs/rigstack/laptop"
NO_REPOSITORY = 128  # git's status when it stops at once

PREPARE = """\
set -e
cd FOLDER
if [ ! -d .git ]; then
    git init -q
    git symbolic-ref HEAD refs/heads/BRANCH
    [ -z ORIGIN ] || git remote add origin ORIGIN
fi
git rev-parse -q --verify HEAD || :
"""

MOVE = """\
set -e
cd FOLDER
old=$(git rev-parse -q --verify refs/heads/BRANCH || :)
head=$(git rev-parse -q --verify HEAD || :)
for one in $old $head; do
    git merge-base --is-ancestor "$one" REF && continue
    echo 'the rig has commits of its own, its git stays as it is'
    exit 0
done
git update-ref refs/heads/BRANCH REF
git symbolic-ref HEAD refs/heads/BRANCH
git reset -q
echo "git is at $(git rev-parse --short HEAD)"
"""


def _git(folder: Path, *words: str, stdin: str | None = None) -> process.Completed:
    try:
        return process.run(("git", "-C", str(folder), *words), stdin=stdin, timeout=600)
    except FileNotFoundError:
        return process.Completed(argv=("git",), status=127, stdout="", stderr="git is not installed")


def _git_rules(folder: Path, *words: str, stdin: str | None = None) -> process.Completed:
    """git on a folder that may be in no repository (yet) and have a .gitignore all the same.

    An empty repository elsewhere then reads the rules.
    """
    done = _git(folder, *words, stdin=stdin)
    if done.status != NO_REPOSITORY:
        return done
    with tempfile.TemporaryDirectory(prefix="rigstack-git-") as elsewhere:
        _git(Path(elsewhere), "init", "--quiet", "--bare")
        return _git(folder, f"--git-dir={elsewhere}", "--work-tree=.", *words, stdin=stdin)


def ignored_paths(folder: Path) -> tuple[str, ...]:
    """What git ignores in the folder, relative to it, by git's own word; () where there is no git."""
    done = _git_rules(folder, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    return tuple(one for one in done.stdout.split("\0") if one and "\n" not in one) if done.ok else ()


def would_ignore(folder: Path, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these paths git would ignore in the folder, whether they are in it or not; the topmost only.

    paths: each folder, with a slash at its end, before what is in it. () where there is no git.
    """
    if not paths:
        return ()
    done = _git_rules(folder, "check-ignore", "--no-index", "-z", "--stdin", stdin="\0".join(paths) + "\0")
    found: list[str] = []
    for path in done.stdout.split("\0"):
        if path and not (found and found[-1].endswith("/") and path.startswith(found[-1])):
            found.append(path)
    return tuple(found)


def head_of(folder: Path) -> str:
    """Something that changes with the branch and its commit, from two small files; "" where there is no repository."""
    try:
        head = (folder / ".git/HEAD").read_text().strip()
        ref = folder / ".git" / head.removeprefix("ref: ")
        return head + (ref.read_text().strip() if ref.is_file() else "")
    except OSError:
        return ""


def carry_commits(folder: Path, target: Target, ssh: tuple[str, ...]) -> str:
    """Brings the rig's repository to the laptop's commit when it can; what was done in words, "" when nothing was.

    ssh: the command line under git. Failures are told, not raised: the files are there whatever becomes of the commits.
    """
    if not (folder / ".git").is_dir():
        return ""
    head = _git(folder, "rev-parse", "--verify", "-q", "HEAD").stdout.strip()
    branch = _git(folder, "symbolic-ref", "-q", "--short", "HEAD").stdout.strip()
    if not head or not branch:
        return ""  # no commit yet, or none of a branch
    carried = folder / ".git" / f"rigstack-{target.alias}"
    mark = f"{branch} {head}"
    if carried.exists() and carried.read_text() == mark:
        return ""
    origin = _git(folder, "config", "remote.origin.url").stdout.strip()
    prepared = _there(ssh, target, PREPARE, branch, origin)
    if not prepared.ok:
        return f"git on the rig: {' '.join(prepared.tail(1))}"
    url = f"{target.direct}:{target.project.folder}"
    pushed = _git(
        folder, "-c", f"core.sshCommand={shlex.join(ssh)}", "push", "-q", "--force", "--no-verify", url, f"HEAD:{REF}"
    )
    moved = _there(ssh, target, MOVE, branch, origin) if pushed.ok else pushed
    if not moved.ok:
        return f"git on the rig: {' '.join(moved.tail(1))}"
    carried.write_text(mark)
    return moved.stdout.strip()


def _there(ssh: tuple[str, ...], target: Target, script: str, branch: str, origin: str) -> process.Completed:
    text = script.replace("REF", REF).replace("FOLDER", target.project.folder)
    text = text.replace("refs/heads/BRANCH", shlex.quote(f"refs/heads/{branch}")).replace("ORIGIN", shlex.quote(origin))
    return process.run((*ssh, target.direct, "sh -s"), stdin=text, timeout=120)
