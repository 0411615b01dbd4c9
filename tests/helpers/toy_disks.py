"""Disks that fill up or become read-only while a test watches."""

import errno
import os
import subprocess

import pytest


class TmpfsDisk:
    """A file system of a few hundred kilobytes."""

    def __init__(self, path):
        self.path = path
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", path], check=True, capture_output=True)

    def fill(self):
        with (self.path / "ballast").open("wb", buffering=0) as file:
            while file.write(b"0" * 512):
                pass

    def make_full(self, folder):
        with pytest.raises(OSError, match="No space left"):
            self.fill()

    def free(self):
        (self.path / "ballast").unlink()

    def make_read_only(self, folder):
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def make_writable(self):
        subprocess.run(["mount", "-o", "remount,rw", self.path], check=True)

    def remove(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class PretendedDisk:
    """Where nothing may be mounted: writes fail as they would."""

    def __init__(self, path, patch):
        self.path, self._patch, self._fsync = path, patch, os.fsync

    def _fail_with(self, number):
        def fsync(handle):
            raise OSError(number, os.strerror(number))

        self._patch.setattr(os, "fsync", fsync)

    def make_full(self, folder):
        self._fail_with(errno.ENOSPC)

    def make_read_only(self, folder):
        self._fail_with(errno.EROFS)

    def free(self):
        self._patch.setattr(os, "fsync", self._fsync)

    make_writable = free

    def remove(self):
        pass
