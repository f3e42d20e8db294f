"""The demo app as an APK: built without Google's SDK, or with its d8, from the sources in android_demo/."""

from edgeprune.apk.build import build_apk
from edgeprune.apk.check import ApkFacts, check_apk
from edgeprune.apk.sign import Key

__all__ = ["ApkFacts", "Key", "build_apk", "check_apk"]
