"""Signing: with a debug key made on the fly, or with the user's own."""

from dataclasses import dataclass
from pathlib import Path

from edgeprune.apk.tools import run
from edgeprune.errors import UsageError
from edgeprune.files import whole

PASSWORD_VARIABLE = "EDGEPRUNE_KEYSTORE_PASSWORD"
_DEBUG_ALIAS, _DEBUG_PASSWORD = "androiddebugkey", "android"


@dataclass(frozen=True)
class Key:
    """A key of a keystore. `password` is as apksigner takes it: pass:..., env:NAME, file:PATH."""

    keystore: Path
    alias: str
    password: str
    debug: bool = False


def release_key(keystore: Path, alias: str) -> Key:
    """The user's own key; password in EDGEPRUNE_KEYSTORE_PASSWORD. Raises UsageError if there is no such file."""
    if not keystore.is_file():
        raise UsageError(
            f"{keystore} is no keystore.", "Make one with keytool, or leave --keystore out for a debug key."
        )
    return Key(keystore, alias, f"env:{PASSWORD_VARIABLE}")


def debug_key(keystore: Path | None = None) -> Key:
    """The debug key of Android's tools, ~/.android/debug.keystore; made if it is not there yet."""
    path = keystore or Path.home() / ".android" / "debug.keystore"
    if not path.is_file():
        with whole(path) as partial:
            path.parent.mkdir(parents=True, exist_ok=True)
            run(
                ["keytool", "-genkeypair", "-keystore", partial, "-storetype", "PKCS12", "-storepass", _DEBUG_PASSWORD,
                 "-alias", _DEBUG_ALIAS, "-keyalg", "RSA", "-keysize", "2048", "-validity", "10950",
                 "-dname", "CN=Android Debug,O=Android,C=US"],
                what="The debug key could not be made",
            )  # fmt: skip
    return Key(path, _DEBUG_ALIAS, f"pass:{_DEBUG_PASSWORD}", debug=True)


def sign(apk: Path, key: Key) -> None:
    """Sign an aligned APK in place."""
    run(
        ["apksigner", "sign", "--ks", key.keystore, "--ks-key-alias", key.alias, "--ks-pass", key.password, apk],
        what="The app could not be signed",
    )
