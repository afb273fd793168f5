"""Runs a program on a terminal of its own until it asks for a passphrase, types one if there is one, and presses Ctrl-C
until it ends. Says how it has ended, what it has shown, and whether the terminal shows again what is typed.

    terminal.py PASSPHRASE PROGRAM [ARGUMENT ...]
"""

import fcntl
import json
import os
import select
import sys
import termios

PATIENCE = 6000
MOMENT = 0.01


class Terminal:
    def __init__(self, program):
        # It is kept open here, too: so its settings outlast the program.
        self.master, self.slave = os.openpty()
        self.shown = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for stream in range(3):
                os.dup2(self.slave, stream)
            os.execv(program[0], program)

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def look(self):
        while select.select([self.master], [], [], MOMENT)[0]:
            self.shown += os.read(self.master, 4096)

    def until(self, is_so):
        for _ in range(PATIENCE):
            if is_so():
                return
            self.look()
        sys.exit(f"never: {self.shown!r}")

    def ended(self):
        os.write(self.master, b"\x03")
        self.look()
        pid, self.status = os.waitpid(self.pid, os.WNOHANG)
        return pid != 0


def main(passphrase, *program):
    terminal = Terminal(program)
    terminal.until(lambda: b"Passphrase of" in terminal.shown and not terminal.echoes())
    if passphrase:
        os.write(terminal.master, passphrase.encode() + b"\n")
        terminal.until(terminal.echoes)
    terminal.until(terminal.ended)
    terminal.look()
    code = os.waitstatus_to_exitcode(terminal.status)
    print(json.dumps({"code": code, "echoes": terminal.echoes(), "shown": terminal.shown.decode()}))


main(*sys.argv[1:])
