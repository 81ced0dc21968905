"""Surroundings in which people start the demo. Each is a script for bash that sets them up and then calls `demo`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

READER_GONE: Final = 141


class Surrounding(Struct, frozen=True):
    """A name, the script, and how the demo must end: its exit code and, unless that is 0, its one line on stderr."""

    name: str
    script: str
    code: int = 0
    says: str = ""
    needs_root: bool = False


SURROUNDINGS: Final = (
    Surrounding("nothing odd", "demo"),
    Surrounding(
        "folder with modules of Python and of ours",
        """
        for name in secrets asyncio ssl json msgspec bcrypt grpc site sitecustomize autogrocery
        do echo 'raise SystemExit(9)' > $name.py; done
        demo
        """,
    ),
    Surrounding(
        "proxies that are dead",
        """
        for name in http_proxy https_proxy grpc_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
        do export $name=http://127.0.0.1:1; done
        demo
        """,
    ),
    Surrounding("no_proxy that excludes nothing", "export http_proxy=http://127.0.0.1:1 no_proxy=example.com; demo"),
    Surrounding(
        "variables of PostgreSQL's clients",
        """
        export PGHOST=nowhere.invalid PGPORT=1 PGUSER=nobody PGPASSWORD=wrong PGDATABASE=none PGSSLMODE=verify-full
        export PGOPTIONS='-c search_path=none' PGSERVICE=none PGPASSFILE=/nonexistent PGTZ=Asia/Kathmandu
        export PGCLIENTENCODING=LATIN1 PGTARGETSESSIONATTRS=standby PGDATA=/none PGAPPNAME=none PGGSSENCMODE=require
        demo
        """,
    ),
    Surrounding(
        "IPv6 everywhere",
        """
        export ORDERING_HTTP_ADDR=[::1]:0 ORDERING_INTERNAL_ADDR=[::1]:0 INVENTORY_GRPC_ADDR=[::1]:0
        export PRICING_GRPC_ADDR=[::1]:0 ROBOTS_ZMQ_ADDR=tcp://[::1]:0 ANALYTICS_ZMQ_ADDR=tcp://[::1]:0
        demo
        """,
    ),
    Surrounding(
        "all interfaces",
        """
        export PLAINTEXT_PEERS=allow ORDERING_HTTP_ADDR='*:0' ORDERING_INTERNAL_ADDR=0.0.0.0:0 INVENTORY_GRPC_ADDR='*:0'
        export PRICING_GRPC_ADDR=0.0.0.0:0 ROBOTS_ZMQ_ADDR='tcp://*:0' ANALYTICS_ZMQ_ADDR=tcp://0.0.0.0:0
        demo
        """,
    ),
    Surrounding(
        "default ports taken",
        """
        "$PYTHON" -c 'if True:
        import socket, time
        taken = [socket.create_server(("127.0.0.1", port)) for port in (5050, 5051, 50051, 50052, 5556, 5557)]
        time.sleep(600)' & holder=$!
        sleep 1; code=0; demo || code=$?; kill $holder; exit $code
        """,
    ),
    Surrounding(
        "home with a comma, a blank and letters beyond ASCII", "export AUTOGROCERY_HOME=$PWD/'Bücher, a b ☕'; demo"
    ),
    Surrounding(
        "home that is deep",
        "export AUTOGROCERY_HOME=$PWD/$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 90)); demo",
    ),
    Surrounding(
        "home with new parents and umask 077", "umask 077; export AUTOGROCERY_HOME=$PWD/new/parents/home; demo"
    ),
    Surrounding("umask 000", "umask 000; demo"),
    Surrounding("HOME unset", "unset HOME; demo"),
    Surrounding("HOME that does not exist", "export HOME=/nonexistent; demo"),
    Surrounding("standard input closed", "demo <&-"),
    Surrounding("standard input empty", "demo < /dev/null"),
    Surrounding(
        "standard output into a file, no terminal",
        "unset TERM; export COLUMNS=20 NO_COLOR=1; demo > out.txt; cat out.txt",
    ),
    Surrounding("locale C", "export LC_ALL=C LANG=C; demo"),
    Surrounding("locale POSIX without coercion", "export LC_ALL=POSIX PYTHONCOERCECLOCALE=0 PYTHONUTF8=0; demo"),
    Surrounding("locale that does not exist", "export LC_ALL=xx_YY.ISO-8859-15 LANGUAGE=tr; demo"),
    Surrounding("time zone Asia/Kathmandu", "export TZ=Asia/Kathmandu; demo"),
    Surrounding("time zone that is none", "export TZ=:/nonexistent/zone; demo"),
    Surrounding("temporary directory that does not exist", "export TMPDIR=/nonexistent; demo"),
    Surrounding(
        "Python's own variables",
        "export PYTHONOPTIMIZE=2 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PYTHONUNBUFFERED=1; demo",
    ),
    Surrounding("Python's warnings shown", "export PYTHONWARNINGS=default PYTHONDEVMODE=1; demo"),
    Surrounding("256 open files", "ulimit -n 256; demo"),
    Surrounding("signals ignored, as under nohup", "trap '' HUP INT; demo"),
    Surrounding(
        "empty environment",
        'exec env -i PATH="$PATH" AUTOGROCERY_HOME="$AUTOGROCERY_HOME" "$COMMAND" demo --orders "$ORDERS"',
    ),
    Surrounding("current folder that is gone", "mkdir gone; cd gone; rmdir ../gone; demo"),
    Surrounding(
        "current folder that is read-only",
        "mkdir folder; mount -t tmpfs -o ro,size=1m none folder; cd folder; demo",
        needs_root=True,
    ),
    Surrounding("64 KiB of shared memory", "mount -t tmpfs -o size=64k none /dev/shm; demo", needs_root=True),
    Surrounding("no shared memory", "mount -t tmpfs -o ro,size=64k none /dev/shm; demo", needs_root=True),
    Surrounding(
        "disk of 64 MB",
        "mkdir disk; mount -t tmpfs -o size=64m,mode=755 none disk; export AUTOGROCERY_HOME=$PWD/disk/home; demo",
        2,
        "autogrocery demo: the disk is full: .* MB free, PostgreSQL needs .* MB; make room.*",
        needs_root=True,
    ),
    Surrounding(
        "disk that is read-only",
        "mkdir disk; mount -t tmpfs -o ro,size=1m none disk; export AUTOGROCERY_HOME=$PWD/disk/home; demo",
        2,
        r"autogrocery demo: .*home can't be used \(Read-only file system\): set AUTOGROCERY_HOME to another directory",
        needs_root=True,
    ),
    Surrounding(
        "home that is a file",
        "touch file; export AUTOGROCERY_HOME=$PWD/file; demo",
        2,
        "autogrocery demo: .*file can't be used .*: set AUTOGROCERY_HOME to another directory",
    ),
    Surrounding(
        "database that refuses the connection",
        "export DATABASE_URL=postgresql://u@127.0.0.1:1/x; demo",
        2,
        "autogrocery demo: DATABASE_URL: the database server 127.0.0.1:1 refuses the connection: start .*",
    ),
    Surrounding(
        "setting that is malformed",
        "export PREVIEW_TTL_S=soon; demo",
        2,
        "autogrocery demo: gateway ended with status 2: PREVIEW_TTL_S is malformed: .*; its log is .*",
    ),
    Surrounding("reader that leaves", "demo | head -1", READER_GONE),
)
