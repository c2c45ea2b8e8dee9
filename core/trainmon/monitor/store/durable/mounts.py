"""Which file systems several machines may share: a database in WAL mode breaks on them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["network_file_system"]

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "wekafs",
    }
)
_SHARED_FUSE = re.compile(
    r"fuse\.(sshfs|ceph|gluster|s3fs|gcsfuse|goofys|rclone|juicefs|davfs|cifs|smb|nfs|mount-s3|"
    r"blobfuse|lustre|seaweedfs|moosefs|mfs).*"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_file_system(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of network file system a folder is on, such as ``nfs4``; None: of none.

    Args:
        folder: It need not be there yet.
        mounts: What the kernel says is mounted. Where that cannot be read, None is returned.
    """
    try:
        text = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    wanted = folder.resolve()
    best: tuple[int, str] = (-1, "")
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        mounted = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of two at one place the later hides the earlier.
        if wanted.is_relative_to(mounted) and len(mounted.parts) >= best[0]:
            best = (len(mounted.parts), kinds[0])
    kind = best[1]
    return kind if kind in _SHARED or _SHARED_FUSE.fullmatch(kind) else None
