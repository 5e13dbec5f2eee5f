"""Does over SSH what PyCharm does, with a client that is not OpenSSH, held to the algorithms that sshj has.

Run on a laptop: sshj_like.py HOST PORT KEY KNOWN_HOSTS. Follows no jump, reads no ssh configuration. Runs a command,
uploads a tree of helpers by SFTP, asks for a remote forward back, and debugs a script with pydevd over it: it stops
at a line, tells a value, goes on. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import stat
import sys
import time
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import paramiko

# sshj 0.39's own lists (net.schmizz.sshj.DefaultConfig): no post-quantum key exchange (sshj #1017).
KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256")
CIPHERS = ("aes128-ctr", "aes192-ctr", "aes256-ctr")
MACS = ("hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")

SCRIPT = "total = 0\nfor step in range(3):\n    total += 14\nprint('total', total)\n"
HELPERS = PurePosixPath("/home/dev/.pycharm_helpers")


def connect(host: str, port: int, key: str, known_hosts: str) -> paramiko.Transport:
    """A transport whose host key is the pinned one of [host]:port."""
    transport = paramiko.Transport(socket.create_connection((host, port), timeout=10))
    options = transport.get_security_options()
    options.kex = tuple(one for one in KEX if one in options.kex)  # paramiko has the older name of curve25519 only
    options.ciphers = CIPHERS
    options.digests = tuple(one for one in MACS if one in options.digests)
    options.key_types = ("ssh-ed25519",)
    transport.start_client(timeout=20)
    pinned = paramiko.HostKeys(known_hosts).lookup(f"[{host}]:{port}")
    assert pinned is not None, "the host key is not pinned under that name"
    assert pinned["ssh-ed25519"] == transport.get_remote_server_key(), "another host key"
    transport.auth_publickey("dev", paramiko.Ed25519Key.from_private_key_file(key))
    return transport


def run(transport: paramiko.Transport, command: str) -> str:
    channel = transport.open_session()
    channel.exec_command(command)
    out = b""
    while chunk := channel.recv(65536):
        out += chunk
    assert channel.recv_exit_status() == 0, (command, channel.recv_stderr(65536))
    return out.decode()


def copy_tree(sftp: paramiko.SFTPClient, remote: PurePosixPath, local: Path) -> int:
    """The helper tree comes from the rig once, to have one to upload; the number of files."""
    local.mkdir(parents=True)
    count = 0
    for entry in sftp.listdir_attr(str(remote)):
        if stat.S_ISDIR(entry.st_mode or 0):
            count += copy_tree(sftp, remote / entry.filename, local / entry.filename)
        elif entry.filename.endswith(".py"):
            sftp.get(str(remote / entry.filename), str(local / entry.filename))
            count += 1
    return count


def upload_tree(sftp: paramiko.SFTPClient, local: Path, remote: PurePosixPath) -> int:
    sftp.mkdir(str(remote))
    count = 0
    for path in sorted(local.iterdir()):
        if path.is_dir():
            count += upload_tree(sftp, path, remote / path.name)
        else:
            sftp.put(str(path), str(remote / path.name))
            count += 1
    return count


class Debugger:
    """The IDE's end of pydevd's line protocol: COMMAND TAB SEQUENCE TAB TEXT."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel, self.buffer, self.sequence = channel, b"", 1
        channel.settimeout(30)

    def say(self, command: int, text: str) -> None:
        self.channel.sendall(f"{command}\t{self.sequence}\t{text}\n".encode())
        self.sequence += 2

    def hear(self, command: int) -> str:
        """The text of the next message of that kind."""
        while True:
            while b"\n" not in self.buffer:
                chunk = self.channel.recv(65536)
                assert chunk, f"pydevd hung up before it said {command}"
                self.buffer += chunk
            line, _, self.buffer = self.buffer.partition(b"\n")
            number, _, text = line.decode().split("\t", 2)
            if int(number) == command:
                return text


def debug(transport: paramiko.Transport) -> dict[str, object]:
    """Stops at line 3, asks for a value, goes on; what was seen."""
    back: queue.Queue[paramiko.Channel] = queue.Queue()
    port = transport.request_port_forward("127.0.0.1", 0, handler=lambda channel, *_: back.put(channel))
    program = transport.open_session()
    program.exec_command(
        f"cd /code/demo && python -u {HELPERS}/pydevd/pydevd.py --client 127.0.0.1 --port {port} --file debugged.py"
    )
    ide = Debugger(back.get(timeout=30))
    ide.say(501, "1.1\tUNIX")
    ide.hear(501)
    ide.say(111, "python-line\t/code/demo/debugged.py\t3\tNone\tNONE\tNone\tNone")
    ide.say(101, "")
    stopped = ide.hear(105)
    thread = re.search(r'thread id="([^"]+)"', stopped)
    frame = re.search(r'frame id="([^"]+)" name="[^"]+" file="[^"]*debugged.py" line="(\d+)"', unquote(stopped))
    assert thread and frame, stopped
    ide.say(113, f"{thread[1]}\t{frame[1]}\tFRAME\ttotal + 1000\t1")
    value = re.search(r'value="([^"]+)"', unquote(unquote(ide.hear(113))))
    assert value
    ide.say(112, "python-line\t/code/demo/debugged.py\t3")
    ide.say(106, thread[1])
    out = b""
    while chunk := program.recv(65536):
        out += chunk
    transport.cancel_port_forward("127.0.0.1", port)
    return {"line": int(frame[2]), "value": value[1], "output": out.decode().split("\n")[-2]}


def main(host: str, port: str, key: str, known_hosts: str) -> None:
    began = time.monotonic()
    transport = connect(host, int(port), key, known_hosts)
    connected = time.monotonic() - began
    silent = run(transport, "true")
    helper = "import debugpy, os; print(os.path.dirname(debugpy.__file__) + '/_vendored/pydevd')"
    source = PurePosixPath(run(transport, f'python -c "{helper}"').strip())
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp is not None
    local = Path.home() / "helpers"
    copied = copy_tree(sftp, source, local / "pydevd")
    run(transport, f"rm -rf {HELPERS}")
    sftp.mkdir(str(HELPERS))
    began = time.monotonic()
    uploaded = upload_tree(sftp, local / "pydevd", HELPERS / "pydevd")
    upload = time.monotonic() - began
    with sftp.open("/code/demo/debugged.py", "w") as script:
        script.write(SCRIPT)
    seen = {
        "connect_seconds": round(connected, 2),
        "cipher": transport.remote_cipher,
        "silent": silent == "",
        "copied": copied,
        "uploaded": uploaded,
        "upload_seconds": round(upload, 2),
        "unbuffered": run(transport, "python -u -c \"print('helper', flush=False)\"").strip(),
        "debugged": debug(transport),
    }
    transport.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
