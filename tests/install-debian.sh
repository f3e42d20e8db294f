#!/usr/bin/env bash
# Debian packages that some tests need. Installs them where it may; elsewhere names what is left out and the cure.
set -u
packages=(dataset-fashion-mnist chromium adb proot busybox-static qemu-user-static g++-aarch64-linux-gnu
    aapt android-framework-res maven apksigner zipalign dexdump postgresql)
missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null && exit 0
fi
echo "Left out: the tests that need the Debian packages ${missing[*]}."
echo "Bring them in with: sudo apt-get install ${missing[*]}"
[ "${CI:-}" = true ] && exit 1
exit 0
