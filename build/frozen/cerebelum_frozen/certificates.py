"""Certificates where the system keeps them elsewhere than the system that OpenSSL was built for, or has none.

The copy of the standard library's `ssl` in the binary calls `mend` (cerebelum.spec adds that line).
"""

from __future__ import annotations

import os
from typing import Any

PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
    os.path.join(os.path.dirname(__file__), "cacert.pem"),  # Mozilla's, as the package certifi has them
)


def instead(default_file: str, default_folder: str) -> str | None:
    """The file to take certificates from, or None where OpenSSL finds some by itself or the user said where."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or _has_content(default_file):
        return None
    try:
        if os.listdir(default_folder):
            return None
    except OSError:
        pass
    return next((place for place in PLACES if _has_content(place)), None)


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def mend(context: Any) -> None:
    """Let `set_default_verify_paths` of this class, and with it the default context, find certificates anywhere."""
    import _ssl

    original = context.set_default_verify_paths
    _, default_file, _, default_folder = _ssl.get_default_verify_paths()

    def set_default_verify_paths(self: Any) -> None:
        original(self)
        if file := instead(default_file, default_folder):
            self.load_verify_locations(file)

    context.set_default_verify_paths = set_default_verify_paths
