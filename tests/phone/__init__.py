"""An emulated phone: Debian's `adb` connects to it over loopback, and programs really run on it.

    with Phone(tmp_path) as phone:
        subprocess.run(["adb", "connect", phone.address])

Its shell is the host's (`backend="host"`, an x86_64 phone) or arm64 under qemu (`backend="arm64"`), both inside a
sandbox folder. It says everywhere that it is emulated: `getprop ro.edgeprune.emulated` is 1.
The sandbox shows files as a phone has them; it is no jail: its programs run as the user that started it.
"""

from tests.phone.faults import Faults, Kill, Vanish
from tests.phone.phone import Phone
from tests.phone.programs import Answer, Call
from tests.phone.state import State

__all__ = ["Answer", "Call", "Faults", "Kill", "Phone", "State", "Vanish"]
